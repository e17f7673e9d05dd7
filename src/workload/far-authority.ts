import type { JWTPayload } from 'jose'
import type { TrustedRoots } from '../model/workload.ts'
import { GRPC, GrpcError } from './grpc.ts'
import type { JwtVerdict } from './jwt-svid.ts'
import { parseSpiffeId, type SpiffeId } from './spiffe-id.ts'
import type { WorkloadAuthority } from './workload-api.ts'

/** Asks the server; null where it does not answer, or refuses. */
export type AskServer = (
  question: Readonly<Record<string, unknown>>,
) => Promise<Readonly<Record<string, unknown>> | null>

/** The authority as seen from a pod: who is trusted is known from the last certificate, JWT-SVIDs are the server's to sign and to check. */
export class FarAuthority implements WorkloadAuthority {
  readonly #ask: AskServer
  #trusted: TrustedRoots

  constructor(ask: AskServer, first: TrustedRoots) {
    this.#ask = ask
    this.#trusted = first
  }

  get trustDomain(): string {
    return this.#trusted.trustDomain
  }

  trust(newest: TrustedRoots): void {
    this.#trusted = newest
  }

  bundle(): Promise<TrustedRoots> {
    return Promise.resolve(this.#trusted)
  }

  jwtBundle(): Promise<string> {
    return Promise.resolve(this.#trusted.jwtBundle)
  }

  /** @throws GrpcError UNAVAILABLE */
  async jwtSvid(_id: SpiffeId, audience: readonly string[]): Promise<string> {
    const { token } = await this.#answer({ audience })
    if (typeof token === 'string') return token
    throw away()
  }

  /** @throws GrpcError UNAVAILABLE */
  async validateJwtSvid(svid: string, audience: string): Promise<JwtVerdict | null> {
    const { id, claims } = await this.#answer({ svid, audience })
    const parsed = typeof id === 'string' ? parseSpiffeId(id) : null
    return parsed === null ? null : { id: parsed, claims: claimsOf(claims) }
  }

  async #answer(
    question: Readonly<Record<string, unknown>>,
  ): Promise<Readonly<Record<string, unknown>>> {
    const answer = await this.#ask(question)
    if (answer === null) throw away()
    return answer
  }
}

function claimsOf(claims: unknown): JWTPayload {
  return typeof claims === 'object' && claims !== null ? { ...claims } : {}
}

function away(): GrpcError {
  return new GrpcError(GRPC.UNAVAILABLE, 'the server does not answer')
}
