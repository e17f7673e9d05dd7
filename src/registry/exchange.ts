import type { IncomingMessage, ServerResponse } from 'node:http'
import { isBlobDigest, type BlobDigest } from '../oci/digest.ts'
import { OciError } from '../oci/oci-error.ts'
import { RegistryError } from './registry-error.ts'

/** One request and its answer. */
export interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly query: URLSearchParams
}

export type Headers = Readonly<Record<string, string | number>>

export function answer(response: ServerResponse, status: number, headers: Headers = {}): void {
  response.writeHead(status, { 'content-length': 0, ...headers })
  response.end()
}

export function answerJson(
  { request, response }: Exchange,
  value: unknown,
  { status = 200, headers = {} }: { readonly status?: number; readonly headers?: Headers } = {},
): void {
  const body = Buffer.from(JSON.stringify(value))
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': body.length,
    ...headers,
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

/** @throws RegistryError DIGEST_INVALID */
export function requiredDigest(text: string | null): BlobDigest {
  if (text !== null && isBlobDigest(text)) return text
  throw new RegistryError(
    { status: 400, code: 'DIGEST_INVALID' },
    `${JSON.stringify(text)} is not a lower-case sha256 or sha512 digest`,
  )
}

/** Chunks of the request's body. Leaving early does not break the connection: the refusal must still reach the client. */
export async function* bodyOf(request: IncomingMessage): AsyncGenerator<Uint8Array> {
  const chunks: AsyncIterable<unknown> = request.iterator({ destroyOnReturn: false })
  for await (const chunk of chunks) {
    if (!(chunk instanceof Uint8Array)) throw new TypeError('a request body gave no bytes')
    yield chunk
  }
}

/** The whole body. @throws OciError TOO_LARGE */
export async function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of bodyOf(request)) {
    size += chunk.length
    if (size > limit) throw new OciError('TOO_LARGE', `the body has more than ${limit} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

export function notAllowed(allow: string): RegistryError {
  return new RegistryError(
    { status: 405, code: 'UNSUPPORTED', headers: { allow } },
    `only ${allow} here`,
  )
}
