import type { AccessStore } from './access.ts'
import type { AuditStore } from './audit.ts'
import type { Grant } from './identity.ts'
import type { AppRef, TargetName } from './names.ts'
import type { Release, ReleaseStatus, Rollout } from './release.ts'
import type { UserStore } from './users.ts'

/** One app in one environment, as kept. */
export interface AppRecord {
  readonly ref: AppRef
  readonly createdAt: number
  /** Number of the release that should serve; null before the first success. */
  readonly active: number | null
  /** Values of `fairway env set`. */
  readonly config: Readonly<Record<string, string>>
  readonly configVersion: number
  /** `fairway scale web=3`: overrides `scale.min` until set again or cleared. */
  readonly scale: Readonly<Record<string, number>>
  /** True from `destroy` until everything is gone; a restart goes on with it. */
  readonly deleting: boolean
}

export interface TokenRecord {
  readonly id: string
  readonly name: string
  /** SHA-256 of the token, hex. The token itself is shown once and never kept. */
  readonly hash: string
  /** Null = a service's. */
  readonly person: string | null
  readonly grants: readonly Grant[]
  readonly createdAt: number
  readonly expiresAt: number | null
  readonly lastUsedAt: number | null
}

/** The key of one environment, as kept. */
export interface EnvironmentKeyRecord {
  readonly ref: AppRef
  /** Public half, an age recipient. */
  readonly recipient: string
  /** Private half, encrypted under a key that is not in the store. */
  readonly wrapped: string
  readonly createdAt: number
}

/** A value that belongs to an environment, as kept: encrypted under a key that the store has only encrypted. */
export interface EnvironmentValueRecord {
  readonly ref: AppRef
  readonly name: string
  readonly sealed: string
  readonly changedAt: number
}

/** Values of environments. They go with the app, which need not be there yet. */
export interface EnvironmentValueStore {
  get(ref: AppRef, name: string): Promise<EnvironmentValueRecord | null>
  /** Adds it where there is none of this name; returns the one that is kept. */
  add(record: EnvironmentValueRecord): Promise<EnvironmentValueRecord>
  /** Adds it, or puts it in the place of the one of the same name. */
  put(record: EnvironmentValueRecord): Promise<void>
  /** None there: nothing happens. */
  delete(ref: AppRef, name: string): Promise<void>
  /** Of all environments, by app, environment and name. */
  list(): Promise<readonly Omit<EnvironmentValueRecord, 'sealed'>[]>
}

/** A cluster that apps are deployed to, as kept. */
export interface TargetRecord {
  readonly name: TargetName
  /** The text of a kubeconfig file. It holds credentials: never in a log, an answer or an error. */
  readonly kubeconfig: string
  /** Context of the kubeconfig; null = its `current-context`. */
  readonly context: string | null
  readonly settings: Readonly<Record<string, string>>
  readonly createdAt: number
}

/**
 * Durable state of the control plane. Every method is one transaction; what it resolved survives `kill -9`.
 * "Not there" is null. Lists are newest first unless said otherwise.
 */
export interface Store {
  listApps(): Promise<readonly AppRecord[]>
  getApp(ref: AppRef): Promise<AppRecord | null>
  /** Creates the record if it is absent. */
  ensureApp(ref: AppRef, now: number): Promise<AppRecord>
  setActive(ref: AppRef, release: number): Promise<void>
  /** Merges; null deletes a key. Returns the new record with configVersion + 1. */
  setConfig(ref: AppRef, changes: Readonly<Record<string, string | null>>): Promise<AppRecord>
  /** Merges; null deletes. */
  setScale(ref: AppRef, changes: Readonly<Record<string, number | null>>): Promise<AppRecord>
  setDeleting(ref: AppRef): Promise<void>
  /** Removes the app with its releases and rollouts. */
  deleteApp(ref: AppRef): Promise<void>

  /** Numbers it: highest so far + 1. */
  addRelease(release: Omit<Release, 'number'>): Promise<Release>
  getRelease(ref: AppRef, number: number): Promise<Release | null>
  listReleases(ref: AppRef, limit: number): Promise<readonly Release[]>
  /** Of every app: for garbage collection. */
  listAllReleases(): Promise<readonly Release[]>
  setReleaseStatus(ref: AppRef, number: number, status: ReleaseStatus): Promise<void>
  deleteRelease(ref: AppRef, number: number): Promise<void>

  addRollout(rollout: Rollout): Promise<void>
  /** Replaces the row of the same id. */
  saveRollout(rollout: Rollout): Promise<void>
  getRollout(ref: AppRef, id: string): Promise<Rollout | null>
  listRollouts(ref: AppRef, limit: number): Promise<readonly Rollout[]>
  /** Waiting, queued and running ones of every app, oldest first: where a restart goes on. */
  listUnfinishedRollouts(): Promise<readonly Rollout[]>

  addToken(token: TokenRecord): Promise<void>
  listTokens(): Promise<readonly TokenRecord[]>
  findTokenByHash(hash: string): Promise<TokenRecord | null>
  touchToken(id: string, now: number): Promise<void>
  /** False where there was none. */
  deleteToken(id: string): Promise<boolean>

  /** Teams, bindings, protected environments. */
  readonly access: AccessStore

  getEnvironmentKey(ref: AppRef): Promise<EnvironmentKeyRecord | null>
  /** Adds it where the environment has none; returns the one that is kept. It goes with the app, which need not be there yet. */
  addEnvironmentKey(record: EnvironmentKeyRecord): Promise<EnvironmentKeyRecord>

  readonly values: EnvironmentValueStore

  listTargets(): Promise<readonly TargetRecord[]>
  getTarget(name: TargetName): Promise<TargetRecord | null>
  /** Adds it, or replaces the one of the same name with all its fields. */
  putTarget(target: TargetRecord): Promise<void>
  /** False where there was none. */
  deleteTarget(name: TargetName): Promise<boolean>

  readonly users: UserStore

  /** Small facts of the platform itself, such as the hash of the claim link. */
  getSetting(key: string): Promise<string | null>
  setSetting(key: string, value: string | null): Promise<void>
  close(): Promise<void>
}

/** A store that keeps the audit too. */
export interface AuditedStore extends Store {
  readonly audit: AuditStore
}
