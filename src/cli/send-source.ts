import { readFileSync } from 'node:fs'
import { ClientError } from '../client/client-error.ts'
import type { FairwayClient } from '../client/fairway-client.ts'
import type { DeployBody } from '../contract/source.ts'
import { FairwayError } from '../model/errors.ts'
import { readContent, type Pack, type PackedContent } from './pack/pack.ts'

/** As the contract's limits, whose module would load the schema library: MAX_INLINE_BYTES and the most inline contents. */
export const INLINE_BYTES = 4 * 1024 * 1024
export const INLINE_COUNT = 10_000
/** A first deploy asks what is missing unless the whole source is smaller than this. */
const SMALL_BYTES = 1024 * 1024

/** Progress of an upload for people. */
export interface SendProgress {
  /** Bytes that went out of how many. */
  sending(sent: number, total: number): void
  sent(files: number, bytes: number, startedAt: number): void
}

/**
 * Calls `request` with the source as a body: changed contents inside it where they are few, else sent ahead once the server has said
 * which it lacks.
 * @throws FairwayError INVALID_SOURCE where a file changes faster than it can be sent
 */
export async function withSource<T>(
  client: FairwayClient,
  pack: Pack,
  options: { readonly now: () => number; readonly progress: SendProgress },
  request: (source: DeployBody['source']) => Promise<T>,
): Promise<T> {
  const entries = [...pack.entries]
  try {
    return await request({ entries, contents: inlineContents(client.server, pack) })
  } catch (error) {
    if (!(error instanceof ClientError)) throw error
    if (error.code === 'DIGEST_MISMATCH') throw changed(error, pack)
    if (error.code !== 'SOURCE_INCOMPLETE') throw error
    pack.cache.forget(client.server)
    await sendMissing(client, pack, missingIn(error), options)
  }
  return request({ entries })
}

async function sendMissing(
  client: FairwayClient,
  pack: Pack,
  missing: readonly string[],
  { now, progress }: { readonly now: () => number; readonly progress: SendProgress },
): Promise<void> {
  const startedAt = now()
  const contents = missing.map((digest) => {
    const content = pack.contents.get(digest as PackedContent['digest'])
    if (content === undefined) throw new ClientError('INTERNAL', `the server asks for ${digest}`)
    return { digest: content.digest, size: content.size, read: () => readContent(content) }
  })
  const total = contents.reduce((sum, { size }) => sum + size, 0)
  try {
    await client.sendContents(contents, (sent) => {
      progress.sending(sent, total)
    })
  } catch (error) {
    throw error instanceof ClientError && error.code === 'DIGEST_MISMATCH'
      ? changed(error, pack)
      : error
  }
  progress.sent(contents.length, total, startedAt)
}

function inlineContents(
  server: string,
  { contents, cache, bytes }: Pack,
): { digest: PackedContent['digest']; base64: string }[] {
  if (!cache.servedBefore(server) && bytes > SMALL_BYTES) return []
  const unknown = [...contents.values()].filter(({ path }) => !cache.serverHas(server, path))
  const total = unknown.reduce((sum, { size }) => sum + size, 0)
  if (total > INLINE_BYTES || unknown.length > INLINE_COUNT) return []
  return unknown.map(({ digest, file }) => ({
    digest,
    base64: readFileSync(file).toString('base64'),
  }))
}

function missingIn(error: ClientError): readonly string[] {
  const missing = error.details['missing']
  if (Array.isArray(missing) && missing.length > 0) return missing.map(String)
  throw error
}

function changed(cause: ClientError, { contents }: Pack): FairwayError {
  const digest = cause.details['digest']
  const path = contents.get(digest as PackedContent['digest'])?.path ?? 'a file'
  return new FairwayError('INVALID_SOURCE', `${path} changed while it was being sent`, {
    cause,
    hint: 'Wait until nothing writes to the folder any more, then deploy again.',
  })
}
