import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { BYTES, type Endpoint } from '../contract/endpoint.ts'
import type { EndpointName } from '../contract/endpoints.ts'
import type { Log } from '../lib/log.ts'
import { FairwayError } from '../model/errors.ts'
import type { Identity, Subject } from '../model/identity.ts'
import { bearerToken } from './credentials.ts'
import { serveExec } from './exec-session.ts'
import type { ApiLimits } from './limits.ts'
import { sendLines } from './lines.ts'
import { logFailure, toFairwayError } from './problem.ts'
import type { ExecOpener, Route } from './route.ts'
import type { Upgrades } from './upgrade.ts'

export interface RouteServerOptions {
  readonly identity: Identity
  readonly log: Log
  readonly limits: ApiLimits
  readonly upgrades: Upgrades
}

/** Their answer comes when everything is done. */
const LONG: ReadonlySet<EndpointName> = new Set(['destroyApp', 'collect', 'installPlatform'])

/** Hangs routes into Fastify: what every one of them has in common stands here. */
export class RouteServer {
  readonly #identity: Identity
  readonly #log: Log
  readonly #limits: ApiLimits
  readonly #upgrades: Upgrades
  readonly #subjects = new WeakMap<FastifyRequest, Subject>()
  readonly #closing = new AbortController()
  #openStreams = 0

  constructor({ identity, log, limits, upgrades }: RouteServerOptions) {
    this.#identity = identity
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
    const token = bearerToken(request.headers.authorization)
    const subject = token === null ? null : await this.#identity.authenticate(token)
    if (subject === null) {
      throw new FairwayError(
        'UNAUTHENTICATED',
        token === null ? 'this needs a token' : 'the token is unknown, revoked or expired',
      )
    }
    this.#subjects.set(request, subject)
    const { app, environment } = scopeOf(request.params)
    const decision = this.#identity.decide(subject, action, { app }, environment)
    if (decision.allowed) return
    // Whether it exists must not show: this is what an app that is not there answers.
    if (decision.hidden && app !== null) throw noApp(app, environment)
    throw new FairwayError('FORBIDDEN', decision.reason)
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
    const { stream, body } = route.endpoint
    const leave = new AbortController()
    reply.raw.once('close', () => {
      leave.abort(new Error('the client is gone'))
    })
    const signal = AbortSignal.any([leave.signal, this.#closing.signal])
    const subject = this.#subjects.get(request) ?? null
    const result = route.handle({ request, subject, signal })
    if (stream === null) {
      // An upload takes the time it takes, within the limit of the whole request.
      const answer = body === BYTES ? await result : await this.#inTime(route.name, result)
      return answer === undefined ? reply.code(204).send() : reply.send(answer)
    }
    const value = await result
    await this.#streaming(async () => {
      if (stream === 'upgrade') await this.#exec(request, reply, value)
      else await this.#lines(request, reply, value, signal)
    })
    return reply
  }

  async #lines(
    request: FastifyRequest,
    reply: FastifyReply,
    lines: unknown,
    signal: AbortSignal,
  ): Promise<void> {
    if (!isAsyncIterable(lines)) throw new TypeError('a stream endpoint must answer with lines')
    const { heartbeatMs, firstLineMs } = this.#limits
    await sendLines(reply, lines, {
      signal,
      heartbeatMs,
      firstLineMs,
      onError: (error) => this.#failed(request, error),
    })
  }

  async #exec(request: FastifyRequest, reply: FastifyReply, open: unknown): Promise<void> {
    if (!isExecOpener(open)) throw new TypeError('an upgrade endpoint must answer with a function')
    const socket = await this.#upgrades.accept(request.raw, reply)
    await serveExec(socket, {
      open,
      signal: this.#closing.signal,
      heartbeatMs: this.#limits.heartbeatMs,
      onError: (error) => this.#failed(request, error),
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

  #failed(request: FastifyRequest, error: unknown): FairwayError {
    const problem = toFairwayError(error, request.id)
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
