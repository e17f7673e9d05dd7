import { mkdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import type { LayerEntry } from '../oci/layer-entry.ts'
import { BaseRecord } from './base-record.ts'
import type { BakerOptions } from './baker.ts'
import { DEFAULT_NODE_MAJOR } from './node-version.ts'
import { BASE_LIST } from './platform-image.ts'

const list = z.object({
  diffId: z.string(),
  entries: z.array(
    z.union([
      z.object({ type: z.literal('symlink'), path: z.string(), target: z.string() }),
      z.object({
        type: z.enum(['file', 'directory']),
        path: z.string(),
        mode: z.number(),
        uid: z.number(),
        gid: z.number(),
        content: z.string().optional(),
      }),
    ]),
  ),
})
type Listed = z.output<typeof list>['entries'][number]

export type SeedOptions = Pick<BakerOptions, 'images' | 'cacheDir' | 'now' | 'log'> & {
  readonly architecture?: string
  /** Of the filesystem that the list describes; default '/'. */
  readonly root?: string
}

/**
 * Makes the base of Node apps out of the very filesystem that this server runs on, as `bakePlatform` wrote it down: byte for byte the same layer, so nodes have it already, and
 * without a package source. Does nothing where there is no list, or a base is known. A filesystem that is not what the list says gives no base.
 */
export async function seedBase(options: SeedOptions): Promise<void> {
  const { images, cacheDir, now, log, root = '/' } = options
  const architecture = options.architecture ?? (process.arch === 'arm64' ? 'arm64' : 'amd64')
  const record = join(cacheDir, 'bases', `node${String(DEFAULT_NODE_MAJOR)}-${architecture}.json`)
  const text = await readIfExists(join(root, BASE_LIST))
  if (text === null || (await readIfExists(record)) !== null) return
  const { diffId, entries } = list.parse(JSON.parse(text))
  const made: LayerEntry[] = []
  for (const one of entries) made.push(await entryOf(one, root))
  const key = `seeded-base:${diffId}`
  const layer = await images.addLayer(made, {
    key,
    level: 6,
  })
  if (layer.diffId !== diffId) {
    log.warn({ expected: diffId, found: layer.diffId }, 'the base of this image was changed')
    return
  }
  await mkdir(dirname(record), { recursive: true })
  await writeAtomically(record, new BaseRecord(key, now(), 'that of the server').toText())
}

async function entryOf(listed: Listed, root: string): Promise<LayerEntry> {
  if (listed.type === 'symlink') return listed
  const { type, path, mode, uid, gid, content } = listed
  const shared = { path, mode, uid, gid }
  if (type === 'directory') return { type, ...shared }
  if (content !== undefined)
    return { type, ...shared, content: { bytes: Buffer.from(content, 'base64') } }
  const file = join(root, path)
  const { size } = await stat(file)

  return { type, ...shared, content: { file, size } }
}
