import type { AppRef, ProcessName } from '../model/names.ts'
import { withClusterNames } from './internal-names.ts'
import { namespaceOf } from './labels.ts'
import { contentHash, kubeObject, type KubeObject, type Labels } from './object.ts'
import { ownershipLabels, type Ownership } from './ownership.ts'
import type { BaseSettings } from './plan-settings.ts'

export interface PodEnvInput {
  readonly ref: AppRef
  readonly process: ProcessName
  readonly env: Readonly<Record<string, string>>
  /** Absent = all names. */
  readonly secretEnv?: readonly string[] | undefined
  readonly of: Pick<Ownership, 'release' | 'kind' | 'job' | 'slot'>
}

/** The variables of a process: those of the app file stand in its pods, what a person has set in a Secret. */
export interface PodEnv {
  readonly plain: Labels
  /** Null where there are none. */
  readonly secret: KubeObject | null
  readonly names: readonly string[]
}

/**
 * Secret values lie in one Secret whose name follows from them: another value is another name, so pods roll, and an old release that comes back finds its
 * own. It can never be changed in place.
 */
export function podEnv(input: PodEnvInput, settings: BaseSettings): PodEnv {
  const { ref, env } = input
  const isSecret = secrecy(input.secretEnv)
  const values = Object.entries(env).map(
    ([name, value]) => [name, withClusterNames(value, ref, settings.facts.clusterDomain)] as const,
  )
  const secret = values.filter(([name]) => isSecret(name))
  return {
    plain: Object.fromEntries(values.filter(([name]) => !isSecret(name)).sort(byName)),
    secret: secret.length === 0 ? null : envSecret(input, secret, settings),
    names: Object.keys(env),
  }
}

// Private

function secrecy(names: readonly string[] | undefined): (name: string) => boolean {
  if (names === undefined) return () => true
  const secret = new Set(names)
  return (name) => secret.has(name)
}

function envSecret(
  { ref, process, of }: PodEnvInput,
  values: readonly (readonly [string, string])[],
  settings: BaseSettings,
): KubeObject {
  const data = Object.fromEntries(
    values.map(([name, value]) => [name, Buffer.from(value).toString('base64')]),
  )
  return kubeObject({
    apiVersion: 'v1',
    kind: 'Secret',
    name: `${process}--env-${contentHash(data)}`,
    namespace: namespaceOf(ref),
    labels: ownershipLabels({ ref, owner: settings.owner, process, ...of }),
    fields: { type: 'Opaque', immutable: true, data },
  })
}

function byName(a: readonly [string, string], b: readonly [string, string]): number {
  return a[0] < b[0] ? -1 : 1
}
