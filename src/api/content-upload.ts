import { buffer } from 'node:stream/consumers'
import type { ContentFrame } from '../contract/content-frames.ts'
import { MAX_ENTRIES } from '../contract/source.ts'
import { FairwayError } from '../model/errors.ts'
import type { SourceStore } from '../model/source.ts'
import type { ApiLimits } from './limits.ts'
import { checkedSize } from './upload.ts'

/** Writing a small file is waiting for the disk more than anything: so many are written at once. */
const WIDTH = 16
/** Contents up to this size are taken into memory, larger ones go through it one at a time. */
const SMALL_BYTES = 64 * 1024

/**
 * Stores the contents of one request. A failure is told only when nothing is being written any more.
 * @throws FairwayError TOO_LARGE, DIGEST_MISMATCH, DISK_FULL, and what the frames throw
 */
export async function storeContents(
  sources: Pick<SourceStore, 'writeContent'>,
  frames: AsyncIterable<ContentFrame>,
  { contentBytes }: Pick<ApiLimits, 'contentBytes'>,
): Promise<{ readonly stored: number; readonly bytes: number }> {
  const writes = new Set<Promise<void>>()
  const failures: unknown[] = []
  const begin = (write: Promise<void>): void => {
    const ended = write
      .catch((error: unknown) => void failures.push(error))
      .then(() => void writes.delete(ended))
    writes.add(ended)
  }
  let stored = 0
  let bytes = 0
  try {
    for await (const { digest, size, body } of frames) {
      if (stored === MAX_ENTRIES) throw new FairwayError('TOO_LARGE', 'too many contents')
      if (checkedSize(size, contentBytes) > SMALL_BYTES)
        await sources.writeContent(digest, size, body)
      else begin(sources.writeContent(digest, size, once(await buffer(body))))
      if (writes.size >= WIDTH) await Promise.race(writes)
      if (failures.length > 0) break
      stored += 1
      bytes += size
    }
  } finally {
    await Promise.all(writes)
  }
  if (failures.length > 0) throw failures[0]
  return { stored, bytes }
}

export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes)
}
