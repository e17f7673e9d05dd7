import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Log } from '../lib/log.ts'
import type { Audit, AuditEvent } from '../model/audit.ts'
import type { Action, Identity, Subject } from '../model/identity.ts'
import { eventOf } from './call-audit.ts'
import { basicPassword, bearerToken } from './credentials.ts'

/** May whoever sent the request read or write this repository? */
export type RepositoryCheck = (does: 'pull' | 'push', repository: string) => boolean

/** Answers one request of the OCI distribution API; the path still begins with /v2/. Every repository is checked with `may`. */
export type RegistryHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  may: RepositoryCheck,
) => Promise<void>

export interface RegistryOptions {
  readonly handler: RegistryHandler
  readonly identity: Identity
  readonly audit: Audit
  readonly log: Log
}

/**
 * Mounts the registry at /v2/: bodies go through untouched, errors have the form of the OCI distribution specification. Any user name
 * with a token as the password; reading needs image:pull, everything else image:push. The repository `shop/production` is that of the app
 * shop in production; others that begin with `shop/` belong to the app as a whole, and what begins otherwise to no app.
 */
export function mountRegistry(app: FastifyInstance, options: RegistryOptions): void {
  const subjects = new WeakMap<FastifyRequest, Subject>()
  app.register((scope, _, done) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, payload, parsed) => parsed(null, payload))
    const mounted = { ...options, subjects }
    scope.addHook('onRequest', async (request, reply) => await authorise(request, reply, mounted))
    const answer = {
      method: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      handler: async (request: FastifyRequest, reply: FastifyReply) => {
        await pass(request, reply, mounted)
      },
    }
    scope.route({ ...answer, url: '/v2' })
    scope.route({ ...answer, url: '/v2/*' })
    done()
  })
}

interface Mounted extends RegistryOptions {
  readonly subjects: WeakMap<FastifyRequest, Subject>
}

async function authorise(
  request: FastifyRequest,
  reply: FastifyReply,
  { identity, audit, subjects }: Mounted,
): Promise<FastifyReply | undefined> {
  const header = request.headers.authorization
  const token = basicPassword(header) ?? bearerToken(header)
  const subject = token === null ? null : await identity.authenticate(token)
  const reads = request.method === 'GET' || request.method === 'HEAD'
  const action = reads ? 'image:pull' : 'image:push'
  if (subject === null) {
    // Clients ask without a login first, to learn that they need one: that is no attempt.
    if (header !== undefined) {
      const reason = 'the token is unknown, revoked or expired'
      void audit.note({ ...registryEvent(request, null, action), outcome: 'denied', reason })
    }
    reply.header('www-authenticate', 'Basic realm="fairway"')
    return await refuse(reply, 401, 'UNAUTHORIZED', 'log in with any user name and a token')
  }
  const decision = identity.decide(subject, action, { app: null }, null)
  subjects.set(request, subject)
  if (decision.allowed) return undefined
  const event = registryEvent(request, subject, action)
  void audit.note({ ...event, outcome: 'denied', reason: decision.reason })
  return await refuse(reply, 403, 'DENIED', decision.reason)
}

function registryEvent(
  request: FastifyRequest,
  subject: Subject | null,
  action: Action,
): Omit<AuditEvent, 'outcome'> {
  const target = `${request.method} ${request.url.split('?')[0] ?? ''}`
  return { ...eventOf(request, subject), action, app: null, environment: null, target }
}

/** A manifest or tag is put or taken away (OCI distribution specification, end-7 and end-9). */
function names({ url }: FastifyRequest): boolean {
  return url.includes('/manifests/')
}

function refuse(reply: FastifyReply, status: number, code: string, message: string): FastifyReply {
  reply.header('docker-distribution-api-version', 'registry/2.0')
  return reply.code(status).send({ errors: [{ code, message }] })
}

async function pass(
  request: FastifyRequest,
  reply: FastifyReply,
  { handler, log, identity, audit, subjects }: Mounted,
): Promise<void> {
  reply.hijack()
  const response = reply.raw
  try {
    const subject = subjects.get(request) ?? null
    await handler(request.raw, response, (does, repository) => {
      const { app, environment } = placeOf(repository)
      const decision = identity.decide(subject, `image:${does}`, { app }, environment)
      const event = { ...registryEvent(request, subject, `image:${does}`), app, environment }
      if (!decision.allowed)
        void audit.note({ ...event, outcome: 'denied', reason: decision.reason })
      // Of a push of many parts, the one that makes them an image.
      else if (does === 'push' && names(request)) void audit.note({ ...event, outcome: 'allowed' })
      return decision.allowed
    })
  } catch (error) {
    if (request.raw.destroyed && !request.raw.complete) return
    log.error({ err: error, method: request.method, path: request.url }, 'registry request failed')
    if (response.headersSent) {
      response.destroy()
      return
    }
    response.writeHead(500, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ errors: [{ code: 'UNKNOWN', message: 'internal error' }] }))
  }
}

/** Repositories of releases are called as the app is: `app/environment`. */
function placeOf(repository: string): {
  readonly app: string
  readonly environment: string | null
} {
  const [app = '', environment = null, ...rest] = repository.split('/')
  return { app, environment: rest.length === 0 ? environment : null }
}
