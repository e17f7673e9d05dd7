import type { Action, AppPlace } from './identity.ts'

/** What the platform tells of itself, or what is asked before anybody is known; beside the actions of the API. */
export const OTHER_AUDITED = [
  'server:claim',
  'session:login',
  'session:logout',
  'session:ended',
  'rollout:ended',
  'release:collected',
  'secret:opened',
  'identity:issued',
  'audit:opened',
  'audit:checkpoint',
  'audit:retention',
  'audit:lost',
  'audit:broken',
] as const
export type AuditedAction = Action | (typeof OTHER_AUDITED)[number]

/**
 * What becomes of an action that was allowed. `guarded`: it is recorded before it happens, and does not happen where that fails.
 * `recorded`: before it happens; a failure of the audit is told and recorded later, and the action goes on. `quiet`: not recorded.
 * Denied ones are recorded whatever stands here.
 */
export type AuditRule = 'guarded' | 'recorded' | 'quiet'

/** `Record` makes a new action without a rule a type error. Guarded: who gets secrets, rights, or into an instance. */
export const AUDIT_RULES: Readonly<Record<Action, AuditRule>> = {
  'self:read': 'quiet',
  'app:list': 'quiet',
  'app:read': 'quiet',
  'app:plan': 'quiet',
  'app:deploy': 'recorded',
  'app:rollback': 'recorded',
  'app:scale': 'recorded',
  'app:run': 'guarded',
  'app:exec': 'guarded',
  'app:destroy': 'recorded',
  'rollout:approve': 'guarded',
  'log:read': 'recorded',
  'config:names': 'quiet',
  'config:read': 'guarded',
  'config:write': 'recorded',
  'source:write': 'quiet',
  'image:pull': 'quiet',
  'image:push': 'recorded',
  'token:read': 'quiet',
  'token:write': 'guarded',
  'user:read': 'quiet',
  'user:write': 'guarded',
  'team:read': 'quiet',
  'team:write': 'guarded',
  'access:read': 'quiet',
  'access:write': 'guarded',
  'environment:read': 'quiet',
  'environment:protect': 'guarded',
  'kube:list': 'quiet',
  'kube:access': 'guarded',
  'target:read': 'quiet',
  'target:write': 'guarded',
  'manifest:apply': 'recorded',
  'node:drain': 'recorded',
  'platform:collect': 'recorded',
  'audit:read': 'recorded',
  'audit:export': 'recorded',
  'identity:read': 'quiet',
  'identity:rotate': 'guarded',
}

/** `system` is the server itself, `nobody` one who showed no valid token. */
export interface AuditActor {
  readonly kind: 'token' | 'user' | 'system' | 'nobody'
  readonly id: string | null
  readonly name: string
}

export const SYSTEM: AuditActor = { kind: 'system', id: null, name: 'fairway' }
export const NOBODY: AuditActor = { kind: 'nobody', id: null, name: 'nobody' }

/** `failed`: was allowed (an earlier record says so) and ended with an error. `done`: the platform did it by itself. */
export const AUDIT_OUTCOMES = ['allowed', 'denied', 'failed', 'done'] as const
export type AuditOutcome = (typeof AUDIT_OUTCOMES)[number]

/** Names, numbers and lists of names. Never a value of the configuration, a secret, a token or an argument of a command. */
export type AuditFacts = Readonly<
  Record<string, string | number | boolean | null | readonly string[]>
>

/** What happened; the audit adds time, number and place in the chain. Long texts are cut. */
export interface AuditEvent {
  readonly actor: AuditActor
  readonly action: AuditedAction
  readonly outcome: AuditOutcome
  readonly app: string | null
  readonly environment: string | null
  /** What else it was done to: 'token 4fT…', 'target prod'. */
  readonly target?: string | null
  /** Why it was denied, or the code of the error. */
  readonly reason?: string | null
  readonly facts?: AuditFacts
  /** Address and program of the client, and the request's id in the server's log. */
  readonly from?: string | null
  readonly agent?: string | null
  readonly request?: string | null
}

/** Where everybody writes what must be known later. Denied events are flood-limited: beyond a limit they are counted, not kept one by one. */
export interface Audit {
  /**
   * Resolves once the event is kept and survives `kill -9`.
   * @throws FairwayError AUDIT_UNAVAILABLE: then do not do what it tells of
   */
  record(event: AuditEvent): Promise<void>
  /** For what happens in any case. Never rejects: resolves when the event is kept, or counted as lost (logged, and recorded later). */
  note(event: AuditEvent): Promise<void>
}

/** One link of the chain as the store keeps it: `line` is the record itself, the rest repeats what is searched by. */
export interface AuditRow {
  /** From 1, without gaps. */
  readonly seq: number
  readonly time: number
  readonly actorId: string | null
  readonly actor: string
  readonly action: string
  readonly app: string | null
  readonly environment: string | null
  readonly outcome: string
  readonly line: string
}

export interface AuditHead {
  /** Of the last record; 0 and the hash of nothing before the first. */
  readonly seq: number
  readonly hash: string
  readonly time: number
  /** The oldest record that is kept, and what it names as the one before it. */
  readonly first: { readonly seq: number; readonly prev: string }
}

export interface AuditFilter {
  readonly app?: string | undefined
  readonly environment?: string | undefined
  /** Name or id. */
  readonly actor?: string | undefined
  readonly action?: string | undefined
  readonly outcome?: string | undefined
  /** Not older than; milliseconds since the epoch. */
  readonly since?: number | undefined
  /** Only what concerns apps in one of these; undefined = everything, also what concerns no app. */
  readonly places?: readonly AppPlace[] | undefined
}

export interface AuditQuery extends Omit<AuditFilter, 'places'> {
  readonly limit: number
  readonly follow: boolean
  /** What whoever asks may see, asked again while it is followed; null = everything. */
  readonly visible: () => Promise<readonly AppPlace[] | null>
}

/** Records as they are kept: JSON with its hash, which is over these very bytes. */
export interface AuditReader {
  /** Oldest first: the newest that match, and with `follow` every later one until the signal aborts. */
  list(query: AuditQuery, signal: AbortSignal): AsyncIterable<string>
  /** All that are kept, then `{"checkpoint":…}` of the last one, signed. */
  export(): AsyncIterable<string>
}

/** Rows of the chain. There is no way to change one. */
export interface AuditStore {
  head(): Promise<AuditHead>
  /**
   * Appends in one transaction: `chain` makes the rows that follow the head, which nobody else moves meanwhile, on whatever server.
   * It may be called again. @returns the new head
   */
  append(chain: (head: AuditHead) => readonly AuditRow[]): Promise<AuditHead>
  /** Those after `after` that match, oldest first. */
  after(after: number, limit: number, filter?: AuditFilter): Promise<readonly AuditRow[]>
  /** The newest that match, newest first. */
  newest(limit: number, filter?: AuditFilter): Promise<readonly AuditRow[]>
  /**
   * Forgets records from the oldest on, up to the last one before `time` and `most` at a time, and appends what `chain` makes of the new
   * beginning, in one transaction. @returns how many are gone
   */
  forget(
    time: number,
    most: number,
    chain: (head: AuditHead) => readonly AuditRow[],
  ): Promise<number>
}
