import type { FastifyRequest } from 'fastify'
import { Readable } from 'node:stream'
import { FairwayError } from '../model/errors.ts'

/** The raw body of an upload, chunk by chunk. @throws FairwayError INVALID_REQUEST from within, where the client left before its end */
export async function* uploadChunks(request: FastifyRequest): AsyncGenerator<Uint8Array> {
  const { body } = request
  if (!(body instanceof Readable)) return
  try {
    for await (const chunk of body) {
      if (chunk instanceof Uint8Array) yield chunk
    }
  } catch (error) {
    throw new FairwayError('INVALID_REQUEST', 'the upload ended early', { cause: error })
  }
}

/** Passes on exactly `size` bytes. @throws FairwayError INVALID_REQUEST from within, where there are more or fewer */
export async function* exactly(
  size: number,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let seen = 0
  for await (const chunk of chunks) {
    seen += chunk.length
    if (seen > size)
      throw new FairwayError('INVALID_REQUEST', `the body has more than ${size} bytes`)
    yield chunk
  }
  if (seen < size) {
    throw new FairwayError('INVALID_REQUEST', `the body has ${seen} bytes, ${size} were promised`)
  }
}

/** @throws FairwayError INVALID_REQUEST without the header, TOO_LARGE above the limit */
export function contentLength(request: FastifyRequest, limit: number): number {
  const header = request.headers['content-length']
  if (header === undefined || !/^\d{1,15}$/.test(header)) {
    throw new FairwayError('INVALID_REQUEST', 'expected the header Content-Length')
  }
  return checkedSize(Number(header), limit)
}

export function checkedSize(size: number, limit: number): number {
  if (size <= limit) return size
  throw new FairwayError('TOO_LARGE', `a content of ${size} bytes, at most ${limit} are taken`)
}
