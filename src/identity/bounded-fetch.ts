import { LoginProblem } from './provider.ts'

/** What is asked of the network: the global `fetch` in production. */
export type Fetch = (
  url: string,
  options: {
    readonly method: string
    readonly headers: Headers
    readonly body: string | null
    readonly signal: AbortSignal
    readonly redirect: 'manual'
  },
) => Promise<Response>

/** As `openid-client` and `jose` call it. */
export type BoundedFetch = (
  url: string,
  options: {
    readonly method?: string
    readonly headers?: Headers | Record<string, string>
    readonly body?: unknown
    readonly signal?: AbortSignal | undefined
  },
) => Promise<Response>

export interface FetchLimits {
  /** From the first byte out to the last byte in. */
  readonly ms: number
  readonly bytes: number
}

export const FETCH_LIMITS: FetchLimits = { ms: 6000, bytes: 1024 * 1024 }

/**
 * A fetch for a server that may be slow, endless or broken: the whole answer within limits, no redirects.
 * @throws LoginProblem `down` where there is no answer in time, and for 429 and 5xx
 */
export function boundedFetch(fetch: Fetch, limits: FetchLimits = FETCH_LIMITS): BoundedFetch {
  return async (url, { method = 'GET', headers, body, signal }) => {
    const timeout = AbortSignal.timeout(limits.ms)
    const either = signal === undefined ? timeout : AbortSignal.any([timeout, signal])
    const host = new URL(url).host
    try {
      const response = await fetch(url, {
        method,
        headers: new Headers(headers),
        body: textBody(body),
        redirect: 'manual',
        signal: either,
      })
      const answer = await wholeBody(response, limits.bytes)
      if (response.status === 429 || response.status >= 500) {
        throw new LoginProblem('down', `${host} answered ${response.status}`)
      }
      const { status } = response
      const empty = status === 204 || status === 304
      return new Response(empty ? null : answer, { status, headers: response.headers })
    } catch (error) {
      if (error instanceof LoginProblem) throw error
      const why = timeout.aborted ? `in ${limits.ms / 1000} s` : reason(error)
      throw new LoginProblem('down', `no answer from ${host} ${why}`.trimEnd(), error)
    }
  }
}

/** Everything that is asked of a provider is a form or nothing. */
function textBody(body: unknown): string | null {
  if (body === undefined || body === null) return null
  if (typeof body === 'string') return body
  if (body instanceof URLSearchParams) return body.toString()
  throw new TypeError('expected a form')
}

async function wholeBody(response: Response, most: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let size = 0
  const body: AsyncIterable<Uint8Array> | null = response.body
  if (body === null) return new Uint8Array()
  for await (const chunk of body) {
    size += chunk.byteLength
    if (size > most) throw new LoginProblem('down', `an answer is longer than ${most} bytes`)
    chunks.push(chunk)
  }
  return new Uint8Array(Buffer.concat(chunks))
}

/** `fetch failed` says nothing; its cause does. */
function reason(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return code === '' ? '' : `(${code})`
}
