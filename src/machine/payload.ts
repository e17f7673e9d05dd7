import type { DesiredApp } from '../model/engine.ts'
import type { InstanceSpec } from '../model/instance.ts'
import type { AppRef } from '../model/names.ts'
import {
  hasSecretFiles,
  type InstancePayload,
  type InstanceSecrets,
  type SecretPlan,
} from '../model/secrets.ts'
import { releaseKey, specKey } from './plan.ts'
import type { Tracked } from './tracked.ts'

/** What an instance is started with beside its spec: opened now, for this start alone. @throws as `ReleaseSecrets.open` */
export async function payloadOf(
  ref: AppRef,
  plan: SecretPlan | undefined,
  secrets: Pick<InstanceSecrets, 'open'>,
): Promise<InstancePayload | undefined> {
  return plan === undefined ? undefined : await secrets.open(ref, plan)
}

/** The names of that, which may be written down. */
export function plannedNames(
  plan: SecretPlan | undefined,
): Pick<InstanceSpec, 'privateFolders' | 'privateEnv'> {
  if (plan === undefined) return {}
  return {
    privateFolders: hasSecretFiles(plan) ? ['secrets'] : [],
    privateEnv: Object.keys(plan.env).sort(),
  }
}

/** The spec as it is stored beside the instance: it says which values these are, to whoever has the environment's key. */
export function withVersion(
  spec: InstanceSpec,
  payload: InstancePayload | undefined,
): InstanceSpec {
  const version = payload?.version
  return version === undefined ? spec : { ...spec, values: version }
}

/** Instances of a `process@release` that run and stay. */
export function runningOf(key: string, tracked: Iterable<Tracked>): readonly InstanceSpec[] {
  return [...tracked]
    .filter(({ spec, phase, source, address }) => {
      const runs = phase === 'ready' || phase === 'unready' || phase === 'starting'
      // Until its runner has answered, nobody knows what it was started with.
      return runs && specKey(spec) === key && (source !== null || address !== null)
    })
    .map(({ spec }) => spec)
}

/** Plans of what is wanted, and which releases have instances; both by `process@release`. */
export function valuesInUse(
  { workloads }: DesiredApp,
  tracked: Iterable<{ readonly spec: InstanceSpec }>,
): readonly [ReadonlyMap<string, SecretPlan>, ReadonlySet<string>] {
  const plans = workloads.flatMap(({ process, tracks }) =>
    tracks.flatMap(({ release, secrets }) =>
      secrets === undefined ? [] : [[releaseKey(process, release), secrets] as const],
    ),
  )
  const used = [...tracked].map(({ spec }) => specKey(spec))
  return [new Map(plans), new Set(used)]
}

/** Keeps the values of a plan good while something runs that has them. */
export async function whileHeld<T>(
  { ref, secrets: plan }: { readonly ref: AppRef; readonly secrets?: SecretPlan },
  secrets: InstanceSecrets,
  work: () => Promise<T>,
): Promise<T> {
  if (plan === undefined) return work()
  const ending = new AbortController()
  const follow = async (): Promise<void> => {
    // Whatever becomes of the values: what runs has those that it was started with.
    const states = secrets.watch(ref, plan, ending.signal)[Symbol.asyncIterator]()
    for (let over = false; !over;) over = (await states.next()).done === true
  }
  const followed = follow()
  try {
    return await work()
  } finally {
    ending.abort(new Error('it has ended'))
    await followed
  }
}
