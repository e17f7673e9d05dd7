import type { Audit, AuditEvent } from '../../src/model/audit.ts'
import { FairwayError } from '../../src/model/errors.ts'

/** Keeps every event; `broken` makes it a full disk. */
export class MemoryAudit implements Audit {
  readonly events: AuditEvent[] = []
  broken = false

  record(event: AuditEvent): Promise<void> {
    if (this.broken)
      return Promise.reject(
        new FairwayError('AUDIT_UNAVAILABLE', `${event.action} cannot be recorded`),
      )
    this.events.push(event)
    return Promise.resolve()
  }

  note(event: AuditEvent): Promise<void> {
    if (!this.broken) this.events.push(event)
    return Promise.resolve()
  }
}
