import { createPublicKey, verify } from 'node:crypto'
import { NOBODY, SYSTEM, type Audit } from '../model/audit.ts'
import type { ProcessSpec } from '../model/app-spec.ts'
import { FairwayError } from '../model/errors.ts'
import type { HeldKey, InstanceIdentities } from '../model/instance-identity.ts'
import {
  UNKNOWN_TOKEN,
  type ClusterInstances,
  type InstanceClaim,
} from '../model/instance-secrets.ts'
import { refKey, type TargetName } from '../model/names.ts'
import type { Store } from '../model/store.ts'
import type { IdentitySigner, SignedIdentity, ValidatedJwt } from '../model/workload.ts'
import { clusterOf, DENIALS, denialReason } from './instance-claims.ts'

export interface TargetIdentitiesOptions {
  /** Of one target. @throws FairwayError NOT_FOUND */
  readonly instances: (target: TargetName) => Promise<ClusterInstances>
  readonly signer: IdentitySigner
  readonly audit: Pick<Audit, 'note'>
  /** Says what releases ask for. */
  readonly store: Pick<Store, 'getRelease'>
}

/** Identities for instances on clusters: signed for the key that an instance made, for who the cluster says that it is and for nobody else. Refusals are recorded. */
export class TargetIdentities implements InstanceIdentities {
  readonly #options: TargetIdentitiesOptions

  constructor(options: TargetIdentitiesOptions) {
    this.#options = options
  }

  async expect(target: TargetName, token: string): Promise<void> {
    const cluster = await clusterOf(target, this.#options.instances)
    if (!cluster.isMeant(token, 'identity'))
      throw new FairwayError('UNAUTHENTICATED', UNKNOWN_TOKEN)
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

  /** Of any release that is kept: a run by schedule goes on when another one serves, and is who it is until it has ended. */
  async #processOf(target: TargetName, claim: InstanceClaim): Promise<ProcessSpec | null> {
    const release = await this.#options.store.getRelease(claim.ref, claim.release)
    const spec = claim.run?.spec ?? release?.spec
    if (spec === undefined || (claim.run === null && spec.target !== target)) return null
    const processes = Object.values<ProcessSpec>(spec.processes)
    return processes.find(({ name }) => name === claim.process) ?? null
  }

  async #tell(target: TargetName, claim: InstanceClaim | null, error: unknown): Promise<void> {
    const { app = null, environment = null } = claim?.ref ?? {}
    // What keeps a cluster or this server from answering is nobody's attempt, and comes by the thousand.
    if (!(error instanceof FairwayError) || !REFUSALS.has(error.code)) return
    const facts =
      claim === null
        ? {}
        : { instance: claim.instance, process: claim.process, release: claim.release }
    await this.#options.audit.note({
      actor: claim === null ? NOBODY : SYSTEM,
      action: 'identity:issued',
      outcome: 'denied',
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
/** A key that is not held is an attempt to be somebody else. */
const REFUSALS: ReadonlySet<string> = new Set([...DENIALS, 'INVALID_REQUEST'])

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
    `${process} of release ${String(release)} of ${refKey(ref)} asks for no identity, or is gone`,
  )
}
