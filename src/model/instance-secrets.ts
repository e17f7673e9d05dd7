import type { JobRequest } from './engine.ts'
import type { InstanceId } from './instance.ts'
import type { AppRef, ProcessName, TargetName } from './names.ts'
import type { InstancePayload } from './secrets.ts'

/** Name in the server's certificate for instances on clusters, under whatever address they reach it; our own authority alone signs for it. */
export const SECRETS_SERVER_NAME = 'secrets.fairway.internal'
/** Where they ask, by POST and with their token. */
export const SECRETS_PATH = /^\/clusters\/([a-z0-9-]+)\/instance-secrets$/

export function secretsPath(target: TargetName): string {
  return `/clusters/${target}/instance-secrets`
}

/** Who such a token must be made for: this server, for this cluster, and for nothing else. */
export function secretsAudience(owner: string, target: TargetName): string {
  return `${owner}.${target}.${SECRETS_SERVER_NAME}`
}

/** What everybody is told whose token is not taken, also for a cluster that there is not. */
export const UNKNOWN_TOKEN = 'the token is none for this server and cluster, or expired'

/** An instance on a cluster that has proven who it is. */
export interface InstanceClaim {
  readonly ref: AppRef
  readonly process: ProcessName
  readonly release: number
  readonly instance: InstanceId
  /** Of a release command or `fairway run`: what it was asked for with. Null = a copy of its process: its release says what it has. */
  readonly run: JobRequest | null
}

/** What an instance wants; a token for one is none for the other. Values are given once, before the app begins; who it is can be asked as long as it lives. */
export type InstanceNeed = 'secrets' | 'identity'

/** Finds out who on a cluster shows a token. */
export interface ClusterInstances {
  /** Whether the token says that it was made for this; nothing of it is verified. */
  isMeant(token: string, need: InstanceNeed): boolean
  /**
   * @param token that says it is an instance's
   * @throws FairwayError UNAUTHENTICATED for a token that the cluster does not vouch for, FORBIDDEN for somebody else's or of an instance that has ended, NOT_FOUND
   * for one that has its values already and for a run that nobody here waits for, CLUSTER_…
   */
  identify(token: string, need: InstanceNeed, signal: AbortSignal): Promise<InstanceClaim>
}

/** Gives instances on clusters their values. */
export interface InstanceSecrets {
  /** @throws FairwayError as `ClusterInstances.identify` and `ReleaseSecrets.open`; NOT_FOUND where its release is not wanted any more, or has no values for it */
  open(target: TargetName, token: string, signal: AbortSignal): Promise<InstancePayload>
}
