import { encodeFrameHeader } from '../contract/content-frames.ts'
import { BODIES } from './bodies.ts'
import type { Connection } from './connection.ts'
import { endpointMethod, endpointPath } from './paths.ts'

/** Bytes of one file that a server lacks. */
export interface Content {
  readonly digest: `sha256:${string}`
  readonly size: number
  /** Reads it from the beginning; must yield exactly `size` bytes. */
  read(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

/** Contents go out in requests of about this many bytes; larger ones alone, so that a lost connection costs little. */
const BATCH_BYTES = 32 * 1024 * 1024
const BATCH_COUNT = 8192
/** Small pieces are joined before they are written: a system call per small file would cost more than the file. */
const WRITE_BYTES = 256 * 1024

/** @throws ClientError DIGEST_MISMATCH where a file changed while it was sent */
export async function sendContents(
  connection: Connection,
  contents: readonly Content[],
  onBytes: (sent: number) => void,
): Promise<void> {
  let sent = 0
  for (const batch of batches(contents)) {
    const report = (bytes: number): void => {
      sent += bytes
      onBytes(sent)
    }
    await connection.value(
      {
        method: endpointMethod('postContents'),
        path: endpointPath('postContents'),
        bytes: { size: framedSize(batch), chunks: joined(frames(batch, report)) },
        timeoutMs: Infinity,
      },
      BODIES.postContents,
    )
  }
}

function* batches(contents: readonly Content[]): Generator<readonly Content[]> {
  let batch: Content[] = []
  let bytes = 0
  for (const content of contents) {
    if (batch.length > 0 && (bytes + content.size > BATCH_BYTES || batch.length >= BATCH_COUNT)) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(content)
    bytes += content.size
  }
  if (batch.length > 0) yield batch
}

function framedSize(batch: readonly Content[]): number {
  return batch.reduce((sum, { digest, size }) => {
    return sum + encodeFrameHeader(digest, size).length + size
  }, 0)
}

async function* frames(
  batch: readonly Content[],
  report: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for (const content of batch) {
    yield encodeFrameHeader(content.digest, content.size)
    let left = content.size
    for await (const chunk of content.read()) {
      // A file that grew meanwhile must not push the next header out of its place; the digest tells the server.
      const part = chunk.length > left ? chunk.subarray(0, left) : chunk
      left -= part.length
      report(part.length)
      yield part
      if (left === 0) break
    }
    // And one that shrank is filled up for the same reason.
    if (left > 0) yield new Uint8Array(left)
  }
}

async function* joined(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let waiting: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of chunks) {
    waiting.push(chunk)
    bytes += chunk.length
    if (bytes < WRITE_BYTES) continue
    yield Buffer.concat(waiting)
    waiting = []
    bytes = 0
  }
  if (bytes > 0) yield Buffer.concat(waiting)
}
