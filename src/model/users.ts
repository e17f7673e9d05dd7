/** A person at the provider who logged in at least once, as kept. */
export interface UserRecord {
  /** Made of issuer and subject: the same for the same person, whatever their name. */
  readonly id: string
  readonly issuer: string
  /** `sub` of the provider: never given to somebody else. */
  readonly subject: string
  /** No two have the same. */
  readonly name: string
  readonly email: string | null
  readonly groups: readonly string[]
  readonly createdAt: number
  readonly lastLoginAt: number
}

export interface SessionRecord {
  readonly id: string
  readonly user: string
  /** SHA-256 of the token, hex. The token itself is sent once and never kept. */
  readonly hash: string
  readonly client: string
  readonly createdAt: number
  readonly lastUsedAt: number
  readonly confirmedAt: number
  readonly expiresAt: number
  /** What the provider gave to ask again with, encrypted. */
  readonly credentials: string
}

export type SessionChanges = Partial<
  Pick<SessionRecord, 'lastUsedAt' | 'confirmedAt' | 'credentials'>
>

/** People and their sessions; a part of the `Store` port, with its rules. */
export interface UserStore {
  /** Adds the person, or replaces the one of the same id. @throws FairwayError CONFLICT where another has the name */
  putUser(user: UserRecord): Promise<void>
  getUser(id: string): Promise<UserRecord | null>
  /** By name. */
  listUsers(): Promise<readonly UserRecord[]>
  /** With all sessions; false where there was none. */
  deleteUser(id: string): Promise<boolean>

  addSession(session: SessionRecord): Promise<void>
  findSessionByHash(hash: string): Promise<SessionRecord | null>
  /** Newest first. */
  listSessions(): Promise<readonly SessionRecord[]>
  /** False where there is none any more. */
  updateSession(id: string, changes: SessionChanges): Promise<boolean>
  deleteSession(id: string): Promise<boolean>
  /** Removes those whose time is over, or that were not used since. */
  deleteOldSessions(now: number, unusedSince: number): Promise<void>
}
