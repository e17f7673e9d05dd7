import { createPublicKey, verify } from 'node:crypto'
import { NOBODY, SYSTEM, type Audit } from '../model/audit.ts'
import type { ProcessSpec } from '../model/app-spec.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { HeldKey, InstanceIdentities } from '../model/instance-identity.ts'
import type { ClusterInstances, InstanceClaim } from '../model/instance-secrets.ts'
import { refKey, type TargetName } from '../model/names.ts'
import type { Store } from '../model/store.ts'
import type { IdentitySigner, SignedIdentity, ValidatedJwt } from '../model/workload.ts'
import { claimedProcess, clusterOf, DENIALS, denialReason } from './instance-claims.ts'

export interface TargetIdentitiesOptions {
  /** Of one target. @throws FairwayError NOT_FOUND */
  readonly instances: (target: TargetName) => Promise<ClusterInstances>
  readonly signer: IdentitySigner
  readonly audit: Pick<Audit, 'note'>
  /** Says which releases are still wanted. */
  readonly store: Store
  readonly clock: Pick<Clock, 'now'>
}

/** Identities for instances on clusters: signed for the key that an instance made, for who the cluster says that it is and for nobody else. Refusals are recorded. */
export class TargetIdentities implements InstanceIdentities {
  readonly #options: TargetIdentitiesOptions

  constructor(options: TargetIdentitiesOptions) {
    this.#options = options
  }

  certify(
    target: TargetName,
    token: string,
    key: HeldKey,
    signal: AbortSignal,
  ): Promise<SignedIdentity> {
    return this.#for(target, token, signal, (claim) => {
      expectHeld(key, token)
      return this.#options.signer.certify(claim, key.publicKey)
    })
  }

  jwtSvid(
    target: TargetName,
    token: string,
    audience: readonly string[],
    signal: AbortSignal,
  ): Promise<string> {
    return this.#for(target, token, signal, (claim) =>
      this.#options.signer.jwtSvid(claim, audience),
    )
  }

  validateJwtSvid(
    target: TargetName,
    token: string,
    given: { readonly svid: string; readonly audience: string },
    signal: AbortSignal,
  ): Promise<ValidatedJwt | null> {
    return this.#for(target, token, signal, () =>
      this.#options.signer.validateJwtSvid(given.svid, given.audience),
    )
  }

  // Private

  async #for<T>(
    target: TargetName,
    token: string,
    signal: AbortSignal,
    task: (claim: InstanceClaim) => Promise<T>,
  ): Promise<T> {
    let claim: InstanceClaim | null = null
    try {
      const cluster = await clusterOf(target, this.#options.instances)
      claim = await cluster.identify(token, 'identity', signal)
      const process = await this.#processOf(target, claim)
      if (process?.identity !== true) throw noIdentity(claim)
      return await task(claim)
    } catch (error) {
      await this.#tell(target, claim, error)
      throw error
    }
  }

  async #processOf(target: TargetName, claim: InstanceClaim): Promise<ProcessSpec | null> {
    const { store, clock } = this.#options
    if (claim.run !== null) {
      const processes = Object.values<ProcessSpec>(claim.run.spec.processes)
      return processes.find(({ name }) => name === claim.process) ?? null
    }
    return (await claimedProcess(target, claim, store, clock.now()))?.process ?? null
  }

  async #tell(target: TargetName, claim: InstanceClaim | null, error: unknown): Promise<void> {
    const { app = null, environment = null } = claim?.ref ?? {}
    const isDenied = error instanceof FairwayError && DENIALS.has(error.code)
    const facts =
      claim === null
        ? {}
        : { instance: claim.instance, process: claim.process, release: claim.release }
    await this.#options.audit.note({
      actor: claim === null ? NOBODY : SYSTEM,
      action: 'identity:issued',
      outcome: isDenied ? 'denied' : 'failed',
      app,
      environment,
      target: `target ${target}`,
      reason: denialReason(error),
      facts,
    })
  }
}

// Private

const CURVE = 'prime256v1'

/** Without it somebody could have a certificate made for a key of another's, and pass for who holds that. @throws FairwayError INVALID_REQUEST */
function expectHeld({ publicKey, proof }: HeldKey, token: string): void {
  const key = keyOf(publicKey)
  const isHeld =
    key !== null && verify('sha256', Buffer.from(token), { key, dsaEncoding: 'ieee-p1363' }, proof)
  if (!isHeld) throw new FairwayError('INVALID_REQUEST', 'the key is no P-256 key of the instance')
}

function keyOf(bytes: Uint8Array) {
  try {
    const key = createPublicKey({ key: Buffer.from(bytes), format: 'der', type: 'spki' })
    return key.asymmetricKeyDetails?.namedCurve === CURVE ? key : null
  } catch {
    return null
  }
}

function noIdentity({ ref, process, release }: InstanceClaim): FairwayError {
  return new FairwayError(
    'NOT_FOUND',
    `${process} of release ${String(release)} of ${refKey(ref)} asks for no identity, or is not wanted any more`,
  )
}
