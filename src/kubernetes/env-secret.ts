import type { AppRef, ProcessName } from '../model/names.ts'
import { withClusterNames } from './internal-names.ts'
import { namespaceOf } from './labels.ts'
import { contentHash, kubeObject, type KubeObject } from './object.ts'
import { ownershipLabels, type Ownership } from './ownership.ts'
import type { BaseSettings } from './plan-settings.ts'

export interface EnvSecretInput {
  readonly ref: AppRef
  readonly process: ProcessName
  readonly env: Readonly<Record<string, string>>
  readonly of: Pick<Ownership, 'release' | 'kind' | 'job' | 'slot'>
}

/**
 * All values of a process in one Secret whose name follows from them: another value is another name, so pods roll, and an old release that comes back
 * finds its own. It can never be changed in place. Null where there are no values.
 */
export function envSecret(input: EnvSecretInput, settings: BaseSettings): KubeObject | null {
  const { ref, process, env, of } = input
  if (Object.keys(env).length === 0) return null
  const values = Object.fromEntries(
    Object.entries(env).map(([name, value]) => [
      name,
      Buffer.from(withClusterNames(value, ref, settings.facts.clusterDomain)).toString('base64'),
    ]),
  )
  return kubeObject({
    apiVersion: 'v1',
    kind: 'Secret',
    name: `${process}--env-${contentHash(values)}`,
    namespace: namespaceOf(ref),
    labels: ownershipLabels({ ref, owner: settings.owner, process, ...of }),
    fields: { type: 'Opaque', immutable: true, data: values },
  })
}
