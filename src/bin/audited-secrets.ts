import { SYSTEM, type Audit } from '../model/audit.ts'
import type { AppRef } from '../model/names.ts'
import {
  secretPlaces,
  type InstancePayload,
  type InstanceSecrets,
  type SecretPlan,
} from '../model/secrets.ts'

/** Adds to a way of opening secrets that every opening for an instance is in the audit: files and variables by name, and how it ended. */
export function auditedSecrets(
  secrets: InstanceSecrets,
  audit: Pick<Audit, 'note'>,
): InstanceSecrets {
  const note = (ref: AppRef, plan: SecretPlan, failure: string | null): Promise<void> =>
    audit.note({
      actor: SYSTEM,
      action: 'secret:opened',
      outcome: failure === null ? 'done' : 'failed',
      app: ref.app,
      environment: ref.environment,
      target: secretPlaces(plan).join(', ') || null,
      reason: failure,
    })
  return {
    watch: (ref, plan, signal) => secrets.watch(ref, plan, signal),
    open: async (ref, plan): Promise<InstancePayload> => {
      try {
        const payload = await secrets.open(ref, plan)
        await note(ref, plan, null)
        return payload
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? String(error.code) : 'INTERNAL'
        await note(ref, plan, code)
        throw error
      }
    },
  }
}
