import { FairwayError } from '../model/errors.ts'
import type { Secret } from '../model/secrets.ts'

export type VaultFetch = (url: string, init: RequestInit) => Promise<Response>
export type JsonFields = Readonly<Record<string, unknown>>

export interface VaultRequest {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** Below `/v1/`, of names that need no escapes. */
  readonly path: string
  readonly token: Secret | null
  readonly body?: JsonFields
}

/** An answer below 500: 200 and 204 with what they hold, 400 to 499 with what Vault says about it. */
export interface VaultAnswer {
  readonly status: number
  readonly fields: JsonFields
  /** For people; '' where it says nothing. */
  readonly reason: string
}

export interface VaultClientOptions {
  /** `https://vault.example.com:8200`. */
  readonly address: string
  /** Namespace of Vault Enterprise or OpenBao; null = none. */
  readonly namespace: string | null
  readonly fetch: VaultFetch
  /** Longest time of one request; default 10 s. */
  readonly timeoutMs?: number
}

const MAX_ANSWER = 1 << 20
/** Answers after which the same may work later: 412 a replica that lags behind, 429 too many, and all from 500 (sealed, standby, down). */
const LATER = new Set([412, 429])

/** The HTTP API of Vault and OpenBao (developer.hashicorp.com/vault/api-docs): requests one by one, nothing kept. */
export class VaultClient {
  readonly #options: VaultClientOptions
  /** Of the server, for messages. */
  readonly host: string

  constructor(options: VaultClientOptions) {
    this.#options = options
    this.host = new URL(options.address).host
  }

  /**
   * No redirect is followed: a token goes to the configured address alone.
   * @throws FairwayError VAULT_UNAVAILABLE where the answer may be another one later; never with what was sent
   */
  async ask(request: VaultRequest): Promise<VaultAnswer> {
    const response = await this.#fetch(request)
    const text = await this.#text(response)
    const fields = jsonFields(text)
    const reason = withoutToken(reasonIn(fields), request.token)
    if (response.status < 500 && !LATER.has(response.status) && (fields !== null || text === ''))
      return { status: response.status, fields: fields ?? {}, reason }
    const said = reason === '' ? '' : `: ${reason}`
    throw this.#unavailable(`answered ${String(response.status)}${said}`)
  }

  async #fetch({ method, path, token, body }: VaultRequest): Promise<Response> {
    const { address, namespace, fetch, timeoutMs = 10_000 } = this.#options
    try {
      return await fetch(`${address.replace(/\/+$/, '')}/v1/${path}`, {
        method,
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
        headers: {
          // What tells a request of a client from one that a page or a proxy was talked into.
          'x-vault-request': 'true',
          ...(token === null ? {} : { 'x-vault-token': token.revealText() }),
          ...(namespace === null ? {} : { 'x-vault-namespace': namespace }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    } catch (cause) {
      throw this.#unavailable('cannot be reached', cause)
    }
  }

  async #text(response: Response): Promise<string> {
    const chunks: Uint8Array[] = []
    let size = 0
    try {
      const body: AsyncIterable<Uint8Array> | null = response.body
      for await (const chunk of body ?? []) {
        size += chunk.length
        if (size > MAX_ANSWER) break
        chunks.push(chunk)
      }
    } catch (cause) {
      throw this.#unavailable('broke off its answer', cause)
    }
    if (size > MAX_ANSWER) throw this.#unavailable('answered too much')
    return Buffer.concat(chunks).toString('utf8')
  }

  #unavailable(what: string, cause?: unknown): FairwayError {
    return new FairwayError('VAULT_UNAVAILABLE', `Vault (${this.host}) ${what}`, { cause })
  }
}

export function fieldsOf(value: unknown): JsonFields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value))
    : null
}

function jsonFields(text: string): JsonFields | null {
  try {
    return fieldsOf(JSON.parse(text))
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

function reasonIn(fields: JsonFields | null): string {
  const errors = fields?.['errors']
  if (!Array.isArray(errors)) return ''
  const texts: readonly unknown[] = errors
  const said = texts.filter((each) => typeof each === 'string').join(', ')
  return said.replaceAll(/[^\x20-\x7e]+/g, ' ').slice(0, 200)
}

function withoutToken(reason: string, token: Secret | null): string {
  return token !== null && reason.includes(token.revealText()) ? '' : reason
}
