import type { Audit, AuditEvent, AuditReader } from '../../src/model/audit.ts'
import { FairwayError } from '../../src/model/errors.ts'

/** Keeps every event; `broken` makes it a full disk. */
export class MemoryAudit implements Audit, AuditReader {
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

  async *list(): AsyncGenerator<string> {
    yield* await Promise.resolve(this.events.map((event) => JSON.stringify(event)))
  }

  export(): AsyncIterable<string> {
    return this.list()
  }
}
