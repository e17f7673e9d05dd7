import { NOBODY, SYSTEM, type Audit, type AuditEvent } from '../model/audit.ts'
import { FairwayError } from '../model/errors.ts'
import {
  UNKNOWN_TOKEN,
  type ClusterInstances,
  type InstanceClaim,
  type InstanceSecrets,
} from '../model/instance-secrets.ts'
import type { TargetName } from '../model/names.ts'
import type { InstancePayload, ReleaseSecrets } from '../model/secrets.ts'

export interface TargetSecretsOptions {
  /** Of one target. @throws FairwayError NOT_FOUND */
  readonly instances: (target: TargetName) => Promise<ClusterInstances>
  readonly secrets: Pick<ReleaseSecrets, 'open'>
  readonly audit: Pick<Audit, 'record' | 'note'>
}

/** Values for instances on clusters: opened for one of them, recorded before they leave, kept nowhere. */
export class TargetSecrets implements InstanceSecrets {
  readonly #options: TargetSecretsOptions

  constructor(options: TargetSecretsOptions) {
    this.#options = options
  }

  async open(target: TargetName, token: string, signal: AbortSignal): Promise<InstancePayload> {
    const { secrets, audit, instances } = this.#options
    let claim: InstanceClaim | null = null
    try {
      const cluster = await instances(target).catch((error: unknown) => {
        throw isUnknown(error) ? new FairwayError('UNAUTHENTICATED', UNKNOWN_TOKEN) : error
      })
      claim = await cluster.identify(token, signal)
      // Variables never come this way: a process has them from its start.
      const payload = await secrets.open(claim.ref, { documents: claim.plan.documents, env: {} })
      await audit.record(eventOf(target, claim, null))
      return payload
    } catch (error) {
      await audit.note(eventOf(target, claim, error))
      throw error
    }
  }
}

// Private

function eventOf(target: TargetName, claim: InstanceClaim | null, error: unknown): AuditEvent {
  const { app = null, environment = null } = claim?.ref ?? {}
  const code = error instanceof FairwayError ? error.code : 'INTERNAL'
  const shared = {
    action: 'secret:opened',
    app,
    environment,
    target: `target ${target}`,
    reason: error === null ? null : reasonOf(error, code),
  } as const
  if (claim === null) {
    const isDenied = DENIALS.has(code)
    return { ...shared, actor: NOBODY, outcome: isDenied ? 'denied' : 'failed' }
  }
  const { instance, process, release, plan } = claim
  const files = plan.documents.map(({ path }) => path).join(', ')
  const facts = { instance, process, release, files }
  return { ...shared, actor: SYSTEM, outcome: error === null ? 'done' : 'failed', facts }
}

/** Nobody learns here which clusters there are. */
function isUnknown(error: unknown): boolean {
  return error instanceof FairwayError && error.code === 'NOT_FOUND'
}

const DENIALS: ReadonlySet<string> = new Set(['UNAUTHENTICATED', 'FORBIDDEN', 'NOT_FOUND'])

function reasonOf(error: unknown, code: string): string {
  return error instanceof FairwayError && DENIALS.has(code) ? error.message : code
}
