import type { IncomingMessage } from 'node:http'
import { FairwayError } from '../model/errors.ts'

const WHOLE_MS = 5_000

/**
 * JSON that a program sends at once; null for what is none.
 * @throws FairwayError TOO_LARGE; INVALID_REQUEST where it breaks off, or takes longer than five seconds
 */
export async function smallJson(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  const text = await textOf(request, maxBytes)
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

async function textOf(request: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  const late = setTimeout(() => request.destroy(), WHOLE_MS)
  try {
    for await (const chunk of request) {
      if (!Buffer.isBuffer(chunk)) continue
      size += chunk.length
      if (size > maxBytes) throw new FairwayError('TOO_LARGE', 'the body is too large')
      chunks.push(chunk)
    }
  } catch (error) {
    if (error instanceof FairwayError) throw error
    throw new FairwayError('INVALID_REQUEST', 'the body broke off', { cause: error })
  } finally {
    clearTimeout(late)
  }
  return Buffer.concat(chunks).toString('utf8')
}
