import { FairwayError } from '../model/errors.ts'
import type { AppRef, ProcessName } from '../model/names.ts'
import type { SecretPlan } from '../model/secrets.ts'
import { withClusterNames } from './internal-names.ts'
import { namespaceOf } from './labels.ts'
import { canonicalText, kubeObject, type KubeObject, type Labels } from './object.ts'
import { ownershipLabels, type Ownership } from './ownership.ts'
import type { BaseSettings } from './plan-settings.ts'
import { releaseKey } from './ref-key.ts'

export interface PodEnvInput {
  readonly ref: AppRef
  readonly process: ProcessName
  readonly env: Readonly<Record<string, string>>
  /** Absent = all names. */
  readonly secretEnv?: readonly string[] | undefined
  /** As in `Track`. */
  readonly secrets?: SecretPlan | undefined
  readonly of: Pick<Ownership, 'kind' | 'job' | 'slot'> & { readonly release: number }
}

/** The variables of a process: those of the app file stand in its pods, what a person has set in a Secret, and what it takes from secrets in another. */
export interface PodEnv {
  readonly plain: Labels
  /** Null where there are none. */
  readonly secret: KubeObject | null
  /** Only the values that the app file asks for as variables; null where there are none. */
  readonly taken: KubeObject | null
  /** How a container refers to those. */
  readonly references: readonly unknown[]
  readonly names: readonly string[]
}

/**
 * Secret values lie in one Secret whose name follows from them and from the installation's key: another value is another name, so pods roll, and an old release that comes back finds its
 * own. It can never be changed in place.
 */
export function podEnv(input: PodEnvInput, settings: BaseSettings): PodEnv {
  const { ref, env } = input
  const isSecret = secrecy(input.secretEnv)
  const values = Object.entries(env).map(
    ([name, value]) => [name, withClusterNames(value, ref, settings.facts.clusterDomain)] as const,
  )
  const secret = values.filter(([name]) => isSecret(name))
  const asked = Object.keys(input.secrets?.env ?? {}).sort()
  const taken = asked.length === 0 ? null : takenSecret(input, asked, settings)
  // One name, one entry: what is nearer to the process counts.
  const plain = values.filter(([name]) => !isSecret(name) && !asked.includes(name))
  return {
    plain: Object.fromEntries(plain.sort(byName)),
    secret: secret.length === 0 ? null : envSecret(input, secret, settings),
    taken,
    references: asked.map((key) => ({
      name: key,
      valueFrom: { secretKeyRef: { name: taken?.metadata.name, key } },
    })),
    names: [...Object.keys(env), ...asked],
  }
}

/** The Secrets that a pod with these variables needs. */
export function secretsOf({ secret, taken }: PodEnv): readonly KubeObject[] {
  return [secret, taken].filter((one) => one !== null)
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
  const namespace = namespaceOf(ref)
  const data = Object.fromEntries(
    values.map(([name, value]) => [name, Buffer.from(value).toString('base64')]),
  )
  return kubeObject({
    apiVersion: 'v1',
    kind: 'Secret',
    // What a run has goes with the run.
    name: `${of.job ?? process}--env-${settings.fingerprint(canonicalText([namespace, data]))}`,
    namespace,
    labels: ownershipLabels({ ref, owner: settings.owner, process, ...shared(of) }),
    fields: { type: 'Opaque', immutable: true, data },
  })
}

/** Two releases with the same values have the same Secret: it carries nothing of the one or the other. */
function shared({ kind, job, ...of }: PodEnvInput['of']): Partial<PodEnvInput['of']> {
  const whose = kind === undefined ? {} : { kind }
  return job === undefined ? whose : { ...of, ...whose, job }
}

/** Its name says nothing of the values to whoever sees it in a pod: it is made with the environment's key. */
function takenSecret(
  { ref, process, of }: PodEnvInput,
  asked: readonly string[],
  { owner, values }: BaseSettings,
): KubeObject {
  const opened = values?.get(releaseKey(process, of.release))
  const data = asked.flatMap((name) => {
    const value = opened?.env.get(name)
    return value === undefined
      ? []
      : [[name, Buffer.from(value.reveal()).toString('base64')] as const]
  })
  if (opened === undefined || data.length < asked.length)
    throw new FairwayError('RUNNER_UNAVAILABLE', 'nobody opens the variables of this app’s secrets')
  return kubeObject({
    apiVersion: 'v1',
    kind: 'Secret',
    name: `${of.job ?? process}--secret-${opened.envVersion.slice(0, 10)}`,
    namespace: namespaceOf(ref),
    labels: ownershipLabels({ ref, owner, process, ...shared(of) }),
    fields: { type: 'Opaque', immutable: true, data: Object.fromEntries(data) },
  })
}

function byName(a: readonly [string, string], b: readonly [string, string]): number {
  return a[0] < b[0] ? -1 : 1
}
