import type { InstanceSpec } from '../model/instance.ts'
import type { AppRef } from '../model/names.ts'
import type { InstancePayload, ReleaseSecrets, SecretPlan } from '../model/secrets.ts'

/** What an instance is started with beside its spec: opened now, for this start alone. @throws as `ReleaseSecrets.open` */
export async function payloadOf(
  ref: AppRef,
  plan: SecretPlan | undefined,
  secrets: Pick<ReleaseSecrets, 'open'>,
): Promise<InstancePayload | undefined> {
  return plan === undefined ? undefined : await secrets.open(ref, plan)
}

/** The names of that, which may be written down. */
export function plannedNames(
  plan: SecretPlan | undefined,
): Pick<InstanceSpec, 'privateFolders' | 'privateEnv'> {
  if (plan === undefined) return {}
  return {
    privateFolders: plan.documents.length === 0 ? [] : ['secrets'],
    privateEnv: Object.keys(plan.env).sort(),
  }
}
