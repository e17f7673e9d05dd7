import { decodeFrames } from '../contract/content-frames.ts'
import { MAX_INLINE_BYTES, type deployBody } from '../contract/source.ts'
import type { z } from 'zod'
import { FairwayError } from '../model/errors.ts'
import type { Digest, DeployInput } from '../model/release.ts'
import type { SourceEntry, SourceStore } from '../model/source.ts'
import type { ApiLimits } from './limits.ts'
import { route, type Routes } from './route.ts'
import { once, storeContents } from './content-upload.ts'
import { contentLength, exactly, uploadChunks } from './upload.ts'

type SourceRoutes = Pick<Routes, 'missingContents' | 'putContent' | 'postContents' | 'saveSource'>

export function sourceRoutes(sources: SourceStore, limits: ApiLimits): SourceRoutes {
  return {
    missingContents: route('missingContents', async ({ body }) => ({
      missing: [...(await sources.missing(body.digests))],
    })),
    putContent: route('putContent', async ({ params, request }) => {
      const size = contentLength(request, limits.contentBytes)
      await sources.writeContent(params.digest, size, exactly(size, uploadChunks(request)))
    }),
    postContents: route('postContents', ({ request }) =>
      storeContents(sources, decodeFrames(uploadChunks(request)), limits),
    ),
    saveSource: route('saveSource', async ({ body }) => ({
      id: await saveEntries(sources, body.entries),
    })),
  }
}

/** Stores what came inline, records the tree, and returns what the platform is given. @throws what `saveEntries` throws */
export async function receiveDeploy(
  sources: SourceStore,
  body: z.output<typeof deployBody>,
): Promise<DeployInput> {
  const { source, ...rest } = body
  if (source === null) return { source: null, ...rest }
  if ('id' in source) {
    if ((await sources.open(source.id)) !== null) return { source: source.id, ...rest }
    throw new FairwayError('NOT_FOUND', `there is no source ${source.id}`)
  }
  await writeInline(sources, source.contents ?? [])
  return { source: await saveEntries(sources, source.entries), ...rest }
}

/** @throws FairwayError SOURCE_INCOMPLETE with `details.missing`, INVALID_SOURCE */
async function saveEntries(sources: SourceStore, entries: readonly SourceEntry[]): Promise<Digest> {
  try {
    return (await sources.save(entries)).id
  } catch (error) {
    if (!(error instanceof FairwayError) || error.code !== 'SOURCE_INCOMPLETE') throw error
    const digests = entries.flatMap((entry) => (entry.type === 'file' ? [entry.digest] : []))
    const missing = await sources.missing(digests)
    throw new FairwayError('SOURCE_INCOMPLETE', `${missing.length} files have not been sent yet`, {
      cause: error,
      details: { missing },
    })
  }
}

async function writeInline(
  sources: SourceStore,
  contents: readonly { readonly digest: Digest; readonly base64: string }[],
): Promise<void> {
  let total = 0
  for (const { digest, base64 } of contents) {
    const bytes = Buffer.from(base64, 'base64')
    total += bytes.length
    if (total > MAX_INLINE_BYTES) {
      throw new FairwayError('TOO_LARGE', 'more than 4 MiB of contents inside the request', {
        hint: 'Send them to /v1/contents first.',
      })
    }
    await sources.writeContent(digest, bytes.length, once(bytes))
  }
}
