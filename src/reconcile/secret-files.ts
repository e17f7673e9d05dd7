import type { AppSpec } from '../model/app-spec.ts'
import { FairwayError } from '../model/errors.ts'
import type { AppRef } from '../model/names.ts'
import type { Release } from '../model/release.ts'
import type { ReleaseSecrets, SecretDocument, SecretPlan } from '../model/secrets.ts'
import { secretPlan } from './desired.ts'

type Given = Pick<Release, 'spec' | 'config' | 'secrets'>

/** The files that the app file names, in its order, out of what was sent. @throws FairwayError SECRETS_INVALID */
export function namedDocuments(
  spec: AppSpec,
  sent: readonly SecretDocument[] = [],
): readonly SecretDocument[] {
  const names = spec.secrets ?? []
  const extra = sent.find(({ path }) => !names.includes(path))
  if (extra !== undefined)
    throw new FairwayError(
      'SECRETS_INVALID',
      `${extra.path} is not among the secrets that the app file names for ${spec.environment}`,
    )
  return names.map((name) => {
    const found = sent.filter(({ path }) => path === name)
    if (found.length === 1 && found[0] !== undefined) return found[0]
    const how = found.length === 0 ? 'was not sent' : 'was sent twice'
    throw new FairwayError('SECRETS_INVALID', `${name}, which the app file names, ${how}`, {
      hint: 'Deploy with a `fairway` of the same version as the server.',
    })
  })
}

/** Opens what every process of a release would be given, and forgets it: what would fail when instances start fails here. @throws as ReleaseSecrets.open */
export async function checkSecrets(
  ref: AppRef,
  given: Given,
  secrets: ReleaseSecrets,
): Promise<void> {
  for (const process of Object.values(given.spec.processes)) {
    const plan = secretPlan(given, process)
    if (plan !== null) await secrets.open(ref, plan)
  }
}

/** Lines of `fairway plan`, by names. */
export async function secretChanges(
  ref: AppRef,
  given: { readonly before: Given | null; readonly after: Given },
  secrets: ReleaseSecrets,
): Promise<readonly string[]> {
  const documents = (of: Given | null): SecretPlan => ({ documents: of?.secrets ?? [], env: {} })
  return secrets.changes(ref, documents(given.before), documents(given.after))
}
