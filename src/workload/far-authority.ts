import type { JWTPayload } from 'jose'
import type { TrustedRoots } from '../model/workload.ts'
import { GRPC, GrpcError } from './grpc.ts'
import type { JwtVerdict } from './jwt-svid.ts'
import { parseSpiffeId, type SpiffeId } from './spiffe-id.ts'
import type { WorkloadAuthority } from './workload-api.ts'

/** Asks the server. A text is why it refuses; null where it does not answer. */
export type AskServer = (
  question: Readonly<Record<string, unknown>>,
) => Promise<Readonly<Record<string, unknown>> | string | null>

export interface FarAuthorityOptions {
  readonly ask: AskServer
  /** Milliseconds since the epoch. */
  readonly now: () => number
  readonly first: TrustedRoots
}

/** Less than half of what a JWT-SVID lives. */
const TOKEN_KEPT_MS = 120_000
const TOKENS_KEPT = 64
/** Questions at once: an app that asks without end has only itself to wait for. */
const WIDTH = 2

/** The authority as seen from a pod: who is trusted is known from the last certificate, JWT-SVIDs are the server's to sign and to check. */
export class FarAuthority implements WorkloadAuthority {
  readonly #options: FarAuthorityOptions
  readonly #tokens = new Map<string, { readonly token: string; readonly until: number }>()
  #trusted: TrustedRoots
  #asking = 0

  constructor(options: FarAuthorityOptions) {
    this.#options = options
    this.#trusted = options.first
  }

  get trustDomain(): string {
    return this.#trusted.trustDomain
  }

  trust(newest: TrustedRoots): void {
    this.#trusted = newest
    this.#tokens.clear()
  }

  bundle(): Promise<TrustedRoots> {
    return Promise.resolve(this.#trusted)
  }

  jwtBundle(): Promise<string> {
    return Promise.resolve(this.#trusted.jwtBundle)
  }

  /** @throws GrpcError UNAVAILABLE, PERMISSION_DENIED, RESOURCE_EXHAUSTED */
  async jwtSvid(_id: SpiffeId, audience: readonly string[]): Promise<string> {
    const key = JSON.stringify(audience)
    const now = this.#options.now()
    const known = this.#tokens.get(key)
    if (known !== undefined && known.until > now) return known.token
    const { token } = await this.#answer({ audience })
    if (typeof token !== 'string') throw away()
    const [oldest] = this.#tokens.keys()
    if (this.#tokens.size >= TOKENS_KEPT && oldest !== undefined) this.#tokens.delete(oldest)
    this.#tokens.set(key, { token, until: now + TOKEN_KEPT_MS })
    return token
  }

  /** @throws GrpcError as `jwtSvid` */
  async validateJwtSvid(svid: string, audience: string): Promise<JwtVerdict | null> {
    const { id, claims } = await this.#answer({ svid, audience })
    const parsed = typeof id === 'string' ? parseSpiffeId(id) : null
    return parsed === null ? null : { id: parsed, claims: claimsOf(claims) }
  }

  async #answer(
    question: Readonly<Record<string, unknown>>,
  ): Promise<Readonly<Record<string, unknown>>> {
    if (this.#asking >= WIDTH) throw new GrpcError(GRPC.RESOURCE_EXHAUSTED, 'too many at once')
    this.#asking += 1
    try {
      const answer = await this.#options.ask(question)
      if (answer === null) throw away()
      if (typeof answer === 'string') throw new GrpcError(GRPC.PERMISSION_DENIED, answer)
      return answer
    } finally {
      this.#asking -= 1
    }
  }
}

function claimsOf(claims: unknown): JWTPayload {
  return typeof claims === 'object' && claims !== null ? { ...claims } : {}
}

function away(): GrpcError {
  return new GrpcError(GRPC.UNAVAILABLE, 'the server does not answer')
}
