import { NOBODY, SYSTEM, type Audit, type AuditEvent } from '../model/audit.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { ClusterInstances, InstanceClaim, InstanceSecrets } from '../model/instance-secrets.ts'
import { refKey, type TargetName } from '../model/names.ts'
import {
  hasSecretFiles,
  secretPlaces,
  type InstancePayload,
  type ReleaseSecrets,
  type SecretPlan,
} from '../model/secrets.ts'
import type { Store } from '../model/store.ts'
import { secretPlan } from './desired.ts'
import { clusterOf, DENIALS, denialReason } from './instance-claims.ts'
import { wantedRelease } from './target-now.ts'

export interface TargetSecretsOptions {
  /** Of one target. @throws FairwayError NOT_FOUND */
  readonly instances: (target: TargetName) => Promise<ClusterInstances>
  readonly secrets: Pick<ReleaseSecrets, 'open'>
  readonly audit: Pick<Audit, 'record' | 'note'>
  /** Says which releases are still wanted. */
  readonly store: Store
  readonly clock: Pick<Clock, 'now'>
}

/**
 * Values for instances on clusters: opened for one of them, recorded before they leave, kept nowhere. What an instance has is said by its release in the store,
 * so the old one of a rolling update is given its values as long as it is wanted, also by a server that has just started.
 */
export class TargetSecrets implements InstanceSecrets {
  readonly #options: TargetSecretsOptions

  constructor(options: TargetSecretsOptions) {
    this.#options = options
  }

  async open(target: TargetName, token: string, signal: AbortSignal): Promise<InstancePayload> {
    const { secrets, audit, instances } = this.#options
    let claim: InstanceClaim | null = null
    let plan: SecretPlan | null = null
    try {
      const cluster = await clusterOf(target, instances)
      claim = await cluster.identify(token, 'secrets', signal)
      plan = await this.#planOf(target, claim)
      if (plan === null || !hasSecretFiles(plan)) throw noValues(claim)
      // Variables never come this way: a process has them from its start.
      const payload = await secrets.open(claim.ref, { ...plan, env: {} })
      await audit.record(eventOf(target, claim, plan, null))
      return payload
    } catch (error) {
      // A cluster or a server that cannot answer is nobody's attempt, and comes by the thousand.
      if (claim !== null || isDenial(error)) await audit.note(eventOf(target, claim, plan, error))
      throw error
    }
  }

  // Private

  async #planOf(target: TargetName, claim: InstanceClaim): Promise<SecretPlan | null> {
    if (claim.run !== null) return claim.run.secrets ?? null
    const { store, clock } = this.#options
    const release = await wantedRelease(claim.ref, claim.release, store, clock.now())
    if (release?.spec.target !== target) return null
    const processes = Object.values(release.spec.processes)
    const process = processes.find(({ name }) => name === claim.process)
    return process === undefined ? null : secretPlan(release, process)
  }
}

// Private

function isDenial(error: unknown): boolean {
  return error instanceof FairwayError && DENIALS.has(error.code)
}

function noValues({ ref, process, release }: InstanceClaim): FairwayError {
  return new FairwayError(
    'NOT_FOUND',
    `no values are planned for ${process} of release ${String(release)} of ${refKey(ref)}`,
  )
}

function eventOf(
  target: TargetName,
  claim: InstanceClaim | null,
  plan: SecretPlan | null,
  error: unknown,
): AuditEvent {
  const { app = null, environment = null } = claim?.ref ?? {}
  const shared = {
    action: 'secret:opened',
    app,
    environment,
    target: `target ${target}`,
    reason: error === null ? null : denialReason(error),
  } as const
  if (claim === null) return { ...shared, actor: NOBODY, outcome: 'denied' }
  const { instance, process, release } = claim
  const files = plan === null ? '' : secretPlaces({ ...plan, env: {} }).join(', ')
  const facts = { instance, process, release, files }
  return { ...shared, actor: SYSTEM, outcome: error === null ? 'done' : 'failed', facts }
}
