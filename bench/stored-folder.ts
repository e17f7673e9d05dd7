import { createReadStream } from 'node:fs'
import type { Digest } from '../src/model/release.ts'
import type { SourceTree } from '../src/model/source.ts'
import { openSourceStore } from '../src/store/source-store.ts'
import { systemClock } from '../src/lib/clock.ts'
import { FolderSource } from '../test/fakes/folder-source.ts'

/** What a bake of the platform gets: the folder's files in a content store of their own, as a client sent them. */
export async function storedFolder(folder: string, root: string): Promise<SourceTree> {
  const store = await openSourceStore({ root, clock: systemClock })
  const source = new FolderSource(folder)
  const sizes = new Map<Digest, number>()
  for (const entry of source.entries) if (entry.type === 'file') sizes.set(entry.digest, entry.size)
  for (const [digest, size] of sizes)
    await store.writeContent(digest, size, bytes(source.contentPath(digest)))
  const { id } = await store.save(source.entries)
  const tree = await store.open(id)
  if (tree === null) throw new Error('the source that was just stored is not there')
  return tree
}

async function* bytes(file: string): AsyncGenerator<Uint8Array> {
  for await (const chunk of createReadStream(file)) if (chunk instanceof Uint8Array) yield chunk
}
