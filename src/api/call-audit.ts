import type { FastifyRequest } from 'fastify'
import type { Endpoint } from '../contract/endpoint.ts'
import type { EndpointName } from '../contract/endpoints.ts'
import {
  AUDIT_RULES,
  NOBODY,
  type Audit,
  type AuditActor,
  type AuditedAction,
  type AuditEvent,
  type AuditFacts,
} from '../model/audit.ts'
import type { FairwayError } from '../model/errors.ts'
import type { Action, Subject } from '../model/identity.ts'
import { OPEN_AUDITED, TOLD_BY_ROUTE } from './audit-facts.ts'

/** What is known of a request before its inputs are judged. */
export function eventOf(
  request: FastifyRequest,
  subject: Subject | null,
): Pick<AuditEvent, 'actor' | 'from' | 'agent' | 'request'> {
  return {
    actor: subject === null ? NOBODY : actorOf(subject),
    from: request.ip,
    agent: request.headers['user-agent'] ?? null,
    request: request.id,
  }
}

export function actorOf({ id, name, kind }: Subject): AuditActor {
  return { kind, id, name }
}

export interface CallAuditOptions {
  readonly audit: Audit
  readonly name: EndpointName
  readonly endpoint: Endpoint
  readonly request: FastifyRequest
  readonly subject: Subject | null
}

/** The records of one request that was let in: before it is done, and where it fails. */
export class CallAudit {
  readonly #options: CallAuditOptions
  readonly #known: Omit<AuditEvent, 'action' | 'outcome'>
  #facts: AuditFacts = {}
  #recorded: AuditedAction | null = null

  constructor(options: CallAuditOptions) {
    this.#options = options
    const { request, subject } = options
    this.#known = {
      ...eventOf(request, subject),
      ...scopeAndTarget(request.params),
    }
  }

  /**
   * Its inputs are good and it is about to be done.
   * @throws FairwayError AUDIT_UNAVAILABLE: it must not be
   */
  async begin(facts: AuditFacts): Promise<void> {
    this.#facts = facts
    const { action } = this.#options.endpoint
    if (action !== null) await this.use(action)
  }

  /** A right is used. @throws FairwayError AUDIT_UNAVAILABLE */
  async use(action: Action): Promise<void> {
    const rule = AUDIT_RULES[action]
    if (rule === 'quiet') return
    this.#recorded = action
    const event = this.#event(action, 'allowed', null)
    if (rule === 'guarded') await this.#options.audit.record(event)
    else await this.#options.audit.note(event)
  }

  /** Of what is open to anybody, that it was done. */
  async end(): Promise<void> {
    const { name } = this.#options
    const action = OPEN_AUDITED[name]
    if (action === undefined || TOLD_BY_ROUTE.has(name)) return
    await this.#options.audit.note(this.#event(action, 'allowed', null))
  }

  failed({ code, status, message }: FairwayError): void {
    const { audit, name, endpoint } = this.#options
    const open = OPEN_AUDITED[name]
    if (
      code === 'FORBIDDEN' ||
      (open !== undefined && status < 500 && code !== 'INVALID_REQUEST')
    ) {
      const action = endpoint.action ?? open
      if (action !== undefined) void audit.note(this.#event(action, 'denied', message))
    } else if (this.#recorded !== null && code !== 'AUDIT_UNAVAILABLE') {
      void audit.note(this.#event(this.#recorded, 'failed', code))
    }
  }

  #event(action: AuditedAction, outcome: AuditEvent['outcome'], reason: string | null): AuditEvent {
    return { ...this.#known, action, outcome, reason, facts: this.#facts }
  }
}

/** App and environment as the path has them, and what else it names: 'token 4fT…'. */
export function scopeAndTarget(
  params: unknown,
): Pick<AuditEvent, 'app' | 'environment'> & { readonly target: string | null } {
  const names = Object.entries(typeof params === 'object' && params !== null ? params : {}).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string' && entry[0] !== '*',
  )
  const { app = null, environment = null } = Object.fromEntries(names)
  const others = names.filter(([key]) => key !== 'app' && key !== 'environment')
  const target = others.map(([key, value]) => `${key} ${value}`).join(', ')
  return { app, environment, target: target === '' ? null : target }
}
