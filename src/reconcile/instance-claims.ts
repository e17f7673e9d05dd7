import type { ProcessSpec } from '../model/app-spec.ts'
import { FairwayError } from '../model/errors.ts'
import {
  UNKNOWN_TOKEN,
  type ClusterInstances,
  type InstanceClaim,
} from '../model/instance-secrets.ts'
import type { TargetName } from '../model/names.ts'
import type { Release } from '../model/release.ts'
import type { Store } from '../model/store.ts'
import { wantedRelease } from './target-now.ts'

/** Nobody learns here which clusters there are. @throws FairwayError UNAUTHENTICATED for one that there is not */
export async function clusterOf(
  target: TargetName,
  instances: (target: TargetName) => Promise<ClusterInstances>,
): Promise<ClusterInstances> {
  return await instances(target).catch((error: unknown) => {
    const isUnknown = error instanceof FairwayError && error.code === 'NOT_FOUND'
    throw isUnknown ? new FairwayError('UNAUTHENTICATED', UNKNOWN_TOKEN) : error
  })
}

/**
 * What a copy is of, by its release in the store, so that the old ones of a rolling update are known as long as they are wanted, also to a server that has just
 * started. Null where its release is not wanted any more, or runs elsewhere.
 */
export async function claimedProcess(
  target: TargetName,
  claim: InstanceClaim,
  store: Store,
  now: number,
): Promise<{ readonly release: Release; readonly process: ProcessSpec } | null> {
  const release = await wantedRelease(claim.ref, claim.release, store, now)
  if (release?.spec.target !== target) return null
  const processes = Object.values<ProcessSpec>(release.spec.processes)
  const process = processes.find(({ name }) => name === claim.process)
  return process === undefined ? null : { release, process }
}

/** Errors that say that whoever asked may not have it. */
export const DENIALS: ReadonlySet<string> = new Set(['UNAUTHENTICATED', 'FORBIDDEN', 'NOT_FOUND'])

/** For the audit: other errors may hold what does not belong there. */
export function denialReason(error: unknown): string {
  if (!(error instanceof FairwayError)) return 'INTERNAL'
  return DENIALS.has(error.code) ? error.message : error.code
}
