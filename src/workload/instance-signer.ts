import type { Clock } from '../model/clock.ts'
import type {
  IdentityHolder,
  IdentitySigner,
  SignedIdentity,
  ValidatedJwt,
} from '../model/workload.ts'
import type { Authority } from './authority.ts'
import { spiffeIdText, workloadId, type SpiffeId } from './spiffe-id.ts'

/** The authority as it signs for instances that hold their own keys. */
export class InstanceSigner implements IdentitySigner {
  readonly #authority: Authority
  readonly #clock: Pick<Clock, 'now'>

  constructor(authority: Authority, clock: Pick<Clock, 'now'>) {
    this.#authority = authority
    this.#clock = clock
  }

  async certify(holder: IdentityHolder, publicKey: Uint8Array): Promise<SignedIdentity> {
    const { leaf, trustDomain, roots, jwtBundle } = await this.#authority.certify(
      this.#idOf(holder),
      new Uint8Array(publicKey),
    )
    const { id, certificate, notAfter } = leaf
    const lifeMs = notAfter - this.#clock.now()
    return { id: spiffeIdText(id), certificate, lifeMs, trustDomain, roots, jwtBundle }
  }

  jwtSvid(holder: IdentityHolder, audience: readonly string[]): Promise<string> {
    return this.#authority.jwtSvid(this.#idOf(holder), audience)
  }

  async validateJwtSvid(token: string, audience: string): Promise<ValidatedJwt | null> {
    const verdict = await this.#authority.validateJwtSvid(token, audience)
    return verdict === null ? null : { id: spiffeIdText(verdict.id), claims: verdict.claims }
  }

  #idOf({ ref, process }: IdentityHolder): SpiffeId {
    return workloadId(this.#authority.trustDomain, ref, process)
  }
}
