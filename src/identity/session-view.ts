import type { SessionView, UserView } from '../model/login.ts'
import type { SessionRecord, UserRecord } from '../model/users.ts'

/** Without the hash and what the provider gave. */
export function toSessionView(session: SessionRecord): SessionView {
  const { id, client, createdAt, lastUsedAt, confirmedAt, expiresAt } = session
  return { id, client, createdAt, lastUsedAt, confirmedAt, expiresAt }
}

export function toUserView(user: UserRecord): UserView {
  const { id, name, email, groups, createdAt, lastLoginAt } = user
  return { id, name, email, groups, createdAt, lastLoginAt }
}
