import { SYSTEM, type AuditEvent } from '../model/audit.ts'
import type { SessionRecord } from '../model/users.ts'

/** Why the server ended a session; a logout is the person's own act and is told where it was asked for. */
export type SessionEnd =
  | 'the identity provider refused it'
  | 'its credentials cannot be opened'
  | 'nobody used it'
  | 'it was as old as a session gets'
  | 'the person had too many'
  | 'an admin ended it'
  | 'an admin forgot the person'

/** For the audit. @param user name of the person; null where nobody knows it any more */
export function sessionEnded(
  { id, client, user: userId }: SessionRecord,
  user: string | null,
  why: SessionEnd,
): AuditEvent {
  return {
    actor: SYSTEM,
    action: 'session:ended',
    outcome: 'done',
    app: null,
    environment: null,
    target: `session ${id}`,
    reason: why,
    facts: { user: user ?? userId, client },
  }
}
