import { FairwayError } from '../model/errors.ts'
import { UNKNOWN_TOKEN, type ClusterInstances } from '../model/instance-secrets.ts'
import type { TargetName } from '../model/names.ts'

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

/** Errors that say that whoever asked may not have it. */
export const DENIALS: ReadonlySet<string> = new Set(['UNAUTHENTICATED', 'FORBIDDEN', 'NOT_FOUND'])

/** For the audit: other errors may hold what does not belong there. */
export function denialReason(error: unknown): string {
  if (!(error instanceof FairwayError)) return 'INTERNAL'
  return DENIALS.has(error.code) ? error.message : error.code
}
