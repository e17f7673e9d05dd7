import { setTimeout as sleep } from 'node:timers/promises'
import { backoffMs } from '../lib/backoff.ts'
import { OciError } from './oci-error.ts'
import { Fields, parseStrictJson } from './strict-json.ts'
import { parseChallenges, type Challenge } from './www-authenticate.ts'

export interface Credentials {
  readonly username: string
  readonly password: string
}

export interface SessionOptions {
  /** `registry.example` or `localhost:5000`; http for loopback, https for everything else. */
  readonly host: string
  /** Another base URL for that host, such as a mirror. */
  readonly endpoint?: string
  /** The endpoint itself may be plain http; where it redirects to may not. */
  readonly plainHttp?: boolean
  /** `repository:team/app:pull`. */
  readonly scope: string
  readonly auth?: Credentials
  readonly fetch?: typeof fetch
  readonly signal?: AbortSignal
}

export interface RegistryRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Path from `/v2/` on, or an absolute URL that the registry gave. */
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Blob | Uint8Array<ArrayBuffer>
}

const TRIES = 4
const MAX_REDIRECTS = 5
const MAX_TOKEN_BYTES = 1 << 20
const HEADERS_TIMEOUT_MS = 60_000

/**
 * Requests to one repository of one registry: logs in where asked to, follows redirects and tries again. Credentials go to the registry and to its token server, never
 * to where a redirect leads (distribution-spec; CVE-2020-15157), and a token server must belong to the registry (SSRF).
 */
export class RegistrySession {
  readonly #options: SessionOptions
  readonly #base: URL
  #authorization: string | null = null

  constructor(options: SessionOptions) {
    this.#options = options
    const scheme = isLoopback(options.host) ? 'http' : 'https'
    this.#base = new URL(options.endpoint ?? `${scheme}://${options.host}`)
    if (!this.#isSafe(this.#base)) {
      throw new OciError('INVALID_REQUEST', `${this.#base.host}: plain http is for loopback only`)
    }
  }

  /** The answer, whatever its status. The caller reads or cancels its body. @throws OciError REGISTRY_FAILED */
  async request(request: RegistryRequest): Promise<Response> {
    for (let attempt = 1; ; attempt += 1) {
      const last = attempt >= TRIES
      try {
        const response = await this.#authorized(request)
        if (last || !isTransient(response.status)) return response
        await response.body?.cancel()
        await this.#wait(attempt, response.headers.get('retry-after'))
      } catch (error) {
        if (last || error instanceof OciError || this.#options.signal?.aborted === true) {
          throw this.#translated(error)
        }
        await this.#wait(attempt, null)
      }
    }
  }

  // Private

  async #authorized(request: RegistryRequest): Promise<Response> {
    const first = await this.#follow(request)
    if (first.status !== 401) return first
    const challenges = parseChallenges(first.headers.get('www-authenticate') ?? '')
    await first.body?.cancel()
    const before = this.#authorization
    this.#authorization = await this.#answer(challenges)
    if (this.#authorization === null || this.#authorization === before) {
      throw new OciError(
        'REGISTRY_FAILED',
        `${this.#options.host} refused ${this.#options.auth === undefined ? 'access without credentials' : 'the credentials'} (401)`,
      )
    }
    return await this.#follow(request)
  }

  async #answer(challenges: readonly Challenge[]): Promise<string | null> {
    const { auth } = this.#options
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
    if (bearer !== undefined) return `Bearer ${await this.#token(bearer)}`
    const basic = challenges.some(({ scheme }) => scheme === 'basic')
    return basic && auth !== undefined ? basicHeader(auth) : null
  }

  /** Docker token specification: GET realm?service=…&scope=… */
  async #token({ parameters }: Challenge): Promise<string> {
    const { auth, scope } = this.#options
    const url = this.#realm(parameters['realm'] ?? '')
    if (parameters['service'] !== undefined) url.searchParams.set('service', parameters['service'])
    url.searchParams.set('scope', scope)
    const headers = auth === undefined ? {} : { authorization: basicHeader(auth) }
    const response = await this.#fetch(url, { method: 'GET', headers })
    if (response.status !== 200) {
      await response.body?.cancel()
      throw this.#failed(`its token server answered ${response.status}`)
    }
    const bytes = await readLimited(response, MAX_TOKEN_BYTES)
    const fields = new Fields(parseStrictJson(bytes, 'token answer'), 'token answer')
    const token = fields.string('token') ?? fields.string('access_token')
    if (token === null || /[\r\n]/.test(token)) throw this.#failed('its token server gave no token')
    return token
  }

  #realm(text: string): URL {
    const url = URL.canParse(text) ? new URL(text) : null
    if (url === null) throw this.#failed(`it names the token server ${JSON.stringify(text)}`)
    const isLocal = isLoopback(this.#base.host)
    const encrypted = url.protocol === 'https:' || (isLocal && isLoopback(url.host))
    if (encrypted && (isLocal || belongsTogether(url.hostname, this.#base.hostname))) return url
    throw this.#failed(`it names the token server ${url.origin}, which does not belong to it`)
  }

  async #follow(request: RegistryRequest): Promise<Response> {
    let url = new URL(request.url, this.#base)
    for (let hop = 0; hop <= MAX_REDIRECTS; hop += 1) {
      if (!this.#isSafe(url)) {
        throw this.#failed(`it sent us to ${url.origin}, which is not encrypted`)
      }
      const mine = url.origin === this.#base.origin ? this.#authorization : null
      const response = await this.#fetch(url, {
        method: request.method,
        headers: { ...request.headers, ...(mine === null ? {} : { authorization: mine }) },
        ...(request.body === undefined ? {} : { body: request.body }),
      })
      const target = response.headers.get('location')
      if (![301, 302, 303, 307, 308].includes(response.status) || target === null) return response
      await response.body?.cancel()
      url = new URL(target, url)
    }
    throw this.#failed('it sends us from one address to the next')
  }

  /** Encrypted, on this machine from beginning to end, or declared to be safe. */
  #isSafe(url: URL): boolean {
    if (url.protocol === 'https:') return true
    if (url.origin === this.#base.origin && this.#options.plainHttp === true) return true
    return isLoopback(url.host) && isLoopback(this.#base.host)
  }

  async #fetch(url: URL, init: RequestInit): Promise<Response> {
    const { fetch: send = fetch, signal } = this.#options
    const late = new AbortController()
    // An upload answers only when it is complete; who sends one bounds it by `signal`.
    const limitMs = init.body instanceof Blob ? 2 ** 31 - 1 : HEADERS_TIMEOUT_MS
    const timer = setTimeout(() => {
      late.abort(new Error(`no answer within ${HEADERS_TIMEOUT_MS / 1000} s`))
    }, limitMs)
    try {
      return await send(url, {
        ...init,
        redirect: 'manual',
        signal: signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]),
      })
    } finally {
      clearTimeout(timer)
    }
  }

  async #wait(attempt: number, retryAfter: string | null): Promise<void> {
    const asked =
      retryAfter !== null && /^\d{1,4}$/.test(retryAfter) ? Number(retryAfter) * 1000 : 0
    const delay = Math.min(30_000, Math.max(asked, backoffMs(attempt, { firstMs: 250 })))
    const { signal } = this.#options
    await sleep(delay, undefined, signal === undefined ? {} : { signal })
  }

  #failed(why: string, cause?: unknown): OciError {
    return new OciError('REGISTRY_FAILED', `registry ${this.#options.host}: ${why}`, cause)
  }

  #translated(error: unknown): unknown {
    if (error instanceof OciError || this.#options.signal?.aborted === true) return error
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    return this.#failed(cause instanceof Error ? cause.message : String(cause), error)
  }
}

/** Longest time for the whole of a small answer. */
export const DOCUMENT_MS = 120_000

/** Chunks of the answer's body. @throws Error where nothing comes for `idleMs`, or it is not whole within `totalMs` */
export async function* bodyOf(
  response: Response,
  { idleMs, totalMs }: { readonly idleMs?: number; readonly totalMs?: number } = {},
): AsyncGenerator<Uint8Array> {
  if (response.body === null) return
  const reader: ReadableStreamDefaultReader<Uint8Array> = response.body.getReader()
  const total =
    totalMs === undefined ? null : alarm(totalMs, `no whole answer within ${totalMs} ms`)
  let whole = false
  try {
    for (;;) {
      const idle = idleMs === undefined ? null : alarm(idleMs, `nothing came for ${idleMs} ms`)
      const alarms = [total, idle].flatMap((one) => (one === null ? [] : [one.rings]))
      const next = await Promise.race([reader.read(), ...alarms]).finally(() => idle?.stop())
      whole = next.done
      if (next.done) return
      yield next.value
    }
  } finally {
    total?.stop()
    // What nobody reads any more must not hold the connection, nor be waited for.
    if (!whole) reader.cancel().catch(() => undefined)
  }
}

/** @throws OciError TOO_LARGE; Error where it is not whole within `totalMs` */
export async function readLimited(
  response: Response,
  limit: number,
  totalMs = DOCUMENT_MS,
): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of bodyOf(response, { totalMs })) {
    size += chunk.length
    if (size > limit) throw new OciError('TOO_LARGE', `an answer of more than ${limit} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** `host` may carry a port. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, '').toLowerCase()
  return name === 'localhost' || name === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(name)
}

// Private

function alarm(ms: number, message: string): { rings: Promise<never>; stop: () => void } {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(message)), ms)
  // It may ring while nobody listens: between two chunks.
  promise.catch(() => undefined)
  return { rings: promise, stop: () => clearTimeout(timer) }
}

function isTransient(status: number): boolean {
  return status === 408 || status === 429 || status >= 500
}

/** The same host, or names below the same domain of two labels; never for addresses. */
function belongsTogether(a: string, b: string): boolean {
  if (a === b) return true
  const domain = (name: string): string => name.split('.').slice(-2).join('.')
  return !/^[\d.[\]:]+$/.test(a) && a.includes('.') && domain(a) === domain(b)
}

export function basicHeader({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}
