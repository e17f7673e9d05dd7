import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { BYTES, type Endpoint } from '../contract/endpoint.ts'
import type { EndpointName } from '../contract/endpoints.ts'
import type { Log } from '../lib/log.ts'
import { FairwayError } from '../model/errors.ts'
import type { Audit, AuditFacts } from '../model/audit.ts'
import type { Action, Decision, Identity, Subject } from '../model/identity.ts'
import { CallAudit, eventOf, scopeAndTarget } from './call-audit.ts'
import { bearerToken } from './credentials.ts'
import { serveExec } from './exec-session.ts'
import type { ApiLimits } from './limits.ts'
import { sendLines } from './lines.ts'
import { logFailure, toFairwayError } from './problem.ts'
import type { ExecOpener, Route } from './route.ts'
import type { Upgrades } from './upgrade.ts'

export interface RouteServerOptions {
  readonly identity: Identity
  readonly audit: Audit
  readonly log: Log
  readonly limits: ApiLimits
  readonly upgrades: Upgrades
}

/** One request that was let in. */
interface Exchange {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly subject: Subject | null
  readonly record: CallAudit
}

/** Their answer comes when everything is done. */
const LONG: ReadonlySet<EndpointName> = new Set([
  'destroyApp',
  'collect',
  'installPlatform',
  'uninstallPlatform',
])

const VERDICTS: ReadonlySet<string> = new Set(['UNAUTHENTICATED', 'FORBIDDEN', 'NOT_FOUND'])

/** Hangs routes into Fastify: what every one of them has in common stands here. */
export class RouteServer {
  readonly #identity: Identity
  readonly #audit: Audit
  readonly #log: Log
  readonly #limits: ApiLimits
  readonly #upgrades: Upgrades
  readonly #subjects = new WeakMap<FastifyRequest, Subject>()
  readonly #closing = new AbortController()
  #openStreams = 0

  constructor({ identity, audit, log, limits, upgrades }: RouteServerOptions) {
    this.#identity = identity
    this.#audit = audit
    this.#log = log
    this.#limits = limits
    this.#upgrades = upgrades
  }

  register(app: FastifyInstance, route: Route): void {
    const { endpoint, name } = route
    app.route({
      method: endpoint.method,
      url: endpoint.path,
      bodyLimit: bodyLimit(name, this.#limits),
      onRequest: async (request) => {
        await this.#authorise(request, endpoint)
        this.#checkForm(request, endpoint)
      },
      onResponse: (request, reply, done) => {
        this.#logAnswer(request, reply)
        done()
      },
      handler: async (request, reply) => await this.#answer(route, request, reply),
    })
  }

  /** Ends every stream and exec session. */
  close(): void {
    this.#closing.abort(new Error('the server is closing'))
  }

  async #authorise(request: FastifyRequest, { action }: Endpoint): Promise<void> {
    if (action === null) return
    await this.#allow(request, action)
  }

  /** @throws FairwayError UNAUTHENTICATED, FORBIDDEN, NOT_FOUND where the app is hidden from who asks */
  async #allow(request: FastifyRequest, action: Action): Promise<void> {
    const token = bearerToken(request.headers.authorization)
    const subject = token === null ? null : await this.#identity.authenticate(token)
    if (subject === null) {
      const reason =
        token === null ? 'this needs a token' : 'the token is unknown, revoked or expired'
      this.#noteDenied(request, null, action, reason)
      throw new FairwayError('UNAUTHENTICATED', reason)
    }
    this.#subjects.set(request, subject)
    const decision = this.#decide(request, subject, action)
    if (decision.allowed) return
    this.#noteDenied(request, subject, action, decision.reason)
    const { app, environment } = scopeOf(request.params)
    // Whether it exists must not show: this is what an app that is not there answers.
    if (decision.hidden && app !== null) throw noApp(app, environment)
    throw new FairwayError('FORBIDDEN', decision.reason)
  }

  #decide(request: FastifyRequest, subject: Subject | null, action: Action): Decision {
    const { app, environment } = scopeOf(request.params)
    return this.#identity.decide(subject, action, { app }, environment)
  }

  /** Nobody waits for it: what is refused may be refused quickly. */
  #noteDenied(
    request: FastifyRequest,
    subject: Subject | null,
    action: Action,
    reason: string,
  ): void {
    const event = { ...eventOf(request, subject), ...scopeAndTarget(request.params) }
    void this.#audit.note({ ...event, action, outcome: 'denied', reason })
  }

  /** Before a body is read: has the request the form that the endpoint takes? */
  #checkForm(request: FastifyRequest, { body, stream }: Endpoint): void {
    if (stream !== 'upgrade' && this.#upgrades.isUpgrade(request.raw)) {
      throw new FairwayError('INVALID_REQUEST', 'there is no WebSocket on this path')
    }
    const { headers } = request
    if (body === null) {
      const empty = (headers['content-length'] ?? '0') === '0'
      if (empty && headers['transfer-encoding'] === undefined) return
      throw new FairwayError('INVALID_REQUEST', 'expected no body')
    }
    const wanted = body === BYTES ? BYTES : 'application/json'
    const given = headers['content-type']?.split(';')[0]?.trim().toLowerCase()
    if (given === wanted) return
    throw new FairwayError('INVALID_REQUEST', `expected the content type ${wanted}`)
  }

  async #answer(route: Route, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const subject = this.#subjects.get(request) ?? null
    const { name, endpoint } = route
    const record = new CallAudit({ audit: this.#audit, name, endpoint, request, subject })
    try {
      return await this.#answerRecorded(route, { request, reply, subject, record })
    } catch (error) {
      record.failed(toFairwayError(error, request.id))
      throw error
    }
  }

  async #answerRecorded(route: Route, exchange: Exchange): Promise<FastifyReply> {
    const { stream, body } = route.endpoint
    const { request, reply, subject, record } = exchange
    const leave = new AbortController()
    reply.raw.once('close', () => {
      leave.abort(new Error('the client is gone'))
    })
    const watch = stream === null ? null : this.#whileAllowed(route.endpoint, request)
    const ends = AbortSignal.any(
      watch === null ? [this.#closing.signal] : [watch.signal, this.#closing.signal],
    )
    const signal = AbortSignal.any([leave.signal, ends])
    const decide = async (action: Action): Promise<Decision> => {
      const decision = this.#decide(request, subject, action)
      if (decision.allowed) await record.use(action)
      return decision
    }
    const begin = (facts: AuditFacts): Promise<void> => record.begin(facts)
    const result = route.handle({ request, subject, signal, decide, begin })
    if (stream === null) {
      // An upload takes the time it takes, within the limit of the whole request.
      const answer = body === BYTES ? await result : await this.#inTime(route.name, result)
      await record.end()
      return answer === undefined ? reply.code(204).send() : reply.send(answer)
    }
    try {
      const value = await result
      await this.#streaming(async () => {
        if (stream === 'upgrade') await this.#exec(exchange, value, ends)
        else await this.#lines(exchange, value, signal)
      })
    } finally {
      watch?.stop()
    }
    return reply
  }

  async #lines(exchange: Exchange, lines: unknown, signal: AbortSignal): Promise<void> {
    if (!isAsyncIterable(lines)) throw new TypeError('a stream endpoint must answer with lines')
    const { heartbeatMs, firstLineMs } = this.#limits
    await sendLines(exchange.reply, lines, {
      signal,
      heartbeatMs,
      firstLineMs,
      onError: (error) => this.#failed(exchange, error),
    })
  }

  /** Aborts soon after whoever streams may no longer do so: revoked, expired, or less than it was. */
  #whileAllowed(
    { action }: Endpoint,
    request: FastifyRequest,
  ): { readonly signal: AbortSignal; readonly stop: () => void } {
    const over = new AbortController()
    const look = (): void => {
      if (action === null) return
      this.#allow(request, action).catch((error: unknown) => {
        // A store that does not answer is no verdict.
        if (error instanceof FairwayError && VERDICTS.has(error.code)) over.abort(error)
      })
    }
    const timer = setInterval(look, this.#limits.recheckMs).unref()
    return {
      signal: over.signal,
      stop: () => {
        clearInterval(timer)
      },
    }
  }

  async #exec(exchange: Exchange, open: unknown, signal: AbortSignal): Promise<void> {
    if (!isExecOpener(open)) throw new TypeError('an upgrade endpoint must answer with a function')
    const socket = await this.#upgrades.accept(exchange.request.raw, exchange.reply)
    await serveExec(socket, {
      open,
      signal,
      heartbeatMs: this.#limits.heartbeatMs,
      onError: (error) => this.#failed(exchange, error),
    })
  }

  async #streaming(task: () => Promise<void>): Promise<void> {
    if (this.#openStreams >= this.#limits.streams) {
      throw new FairwayError('LIMIT_EXCEEDED', `${this.#openStreams} streams are open already`)
    }
    this.#openStreams += 1
    try {
      await task()
    } finally {
      this.#openStreams -= 1
    }
  }

  async #inTime(name: EndpointName, result: Promise<unknown>): Promise<unknown> {
    const { answerMs, longAnswerMs } = this.#limits
    const ms = LONG.has(name) ? longAnswerMs : answerMs
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const seconds = Math.round(ms / 1000)
        reject(new FairwayError('TIMEOUT', `no answer in ${seconds} s; the work may still go on`))
      }, ms)
    })
    try {
      return await Promise.race([result, late])
    } finally {
      clearTimeout(timer)
    }
  }

  #failed({ request, record }: Exchange, error: unknown): FairwayError {
    const problem = toFairwayError(error, request.id)
    record.failed(problem)
    logFailure(this.#log, problem, request)
    return problem
  }

  #logAnswer(request: FastifyRequest, reply: FastifyReply): void {
    const fields = {
      request: request.id,
      method: request.method,
      route: request.routeOptions.url,
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
      by: this.#subjects.get(request)?.name ?? null,
    }
    if (request.method === 'GET') this.#log.debug(fields, 'request answered')
    else this.#log.info(fields, 'request answered')
  }
}

function bodyLimit(name: EndpointName, limits: ApiLimits): number {
  switch (name) {
    case 'planApp':
    case 'deployApp':
    case 'saveSource':
    case 'missingContents':
      return limits.sourceBodyBytes
    case 'setConfig':
      return limits.configBodyBytes
    default:
      return limits.bodyBytes
  }
}

const scopeSchema = z.object({
  app: z.string().nullable().default(null),
  environment: z.string().nullable().default(null),
})

/** Of the path as it stands: permission is asked before names are judged. */
function scopeOf(params: unknown): { app: string | null; environment: string | null } {
  return scopeSchema.parse(params)
}

function noApp(app: string, environment: string | null): FairwayError {
  const name = environment === null ? app : `${app}/${environment}`
  return new FairwayError('NOT_FOUND', `there is no app ${name}`)
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

function isExecOpener(value: unknown): value is ExecOpener {
  return typeof value === 'function'
}
