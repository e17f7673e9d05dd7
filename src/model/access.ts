import type { Grant, Subject } from './identity.ts'

/** A named set of apps, which need not exist yet. */
export interface Team {
  readonly name: string
  readonly apps: readonly string[]
  readonly createdAt: number
}

/** What a user or a group of the identity provider is granted. */
export interface Binding {
  readonly id: string
  readonly kind: 'user' | 'group'
  /** Name of the user or group as the provider gives it; compared letter by letter. */
  readonly name: string
  readonly grant: Grant
  readonly createdAt: number
  readonly createdBy: string
}

/** An environment whose rollouts need a second person. */
export interface Protection {
  readonly environment: string
  /** How long a rollout waits for its approval before it ends. */
  readonly waitMs: number
  readonly createdAt: number
  readonly createdBy: string
}

/** Who may do what, as kept. Every method is one transaction. */
export interface AccessStore {
  /** By name. */
  listTeams(): Promise<readonly Team[]>
  /** Adds it, or replaces the apps of the one of the same name. */
  putTeam(team: Team): Promise<void>
  /** False where there was none. */
  deleteTeam(name: string): Promise<boolean>
  /** Newest first. */
  listBindings(): Promise<readonly Binding[]>
  addBinding(binding: Binding): Promise<void>
  /** False where there was none. */
  deleteBinding(id: string): Promise<boolean>
  /** By name of the environment. */
  listProtections(): Promise<readonly Protection[]>
  /** Adds it, or replaces the one of the same environment. */
  putProtection(protection: Protection): Promise<void>
  /** False where there was none. */
  deleteProtection(environment: string): Promise<boolean>
}

export type NewBinding = Pick<Binding, 'kind' | 'name' | 'grant'>

/** Teams, bindings and protected environments; `identity/` implements it. Whoever asks is an argument of every question. */
export interface AccessRules {
  /** Teams of which `by` sees an app or holds a grant, with the apps that `by` sees. */
  listTeams(by: Subject): Promise<readonly Team[]>
  /** Adds and removes apps; makes the team where it is missing. @throws FairwayError LIMIT_EXCEEDED */
  changeTeam(
    name: string,
    changes: { readonly add: readonly string[]; readonly remove: readonly string[] },
  ): Promise<Team>
  /** False where there was none. @throws FairwayError CONFLICT while a binding or token names it */
  deleteTeam(name: string): Promise<boolean>
  /** Those that `by` could have made, newest first. */
  listBindings(by: Subject): Promise<readonly Binding[]>
  /** @throws FairwayError FORBIDDEN where it is more than `by` has, CONFLICT where it stands already, LIMIT_EXCEEDED */
  addBinding(by: Subject, wanted: NewBinding): Promise<Binding>
  /** False where there was none that `by` could have made. @throws FairwayError CONFLICT for the last admin */
  removeBinding(by: Subject, id: string): Promise<boolean>
  /** All of them: which environments are protected is no secret. */
  listProtections(): Promise<readonly Protection[]>
  protect(by: Subject, environment: string, waitMs: number): Promise<Protection>
  /** False where it was not protected. */
  unprotect(environment: string): Promise<boolean>
}
