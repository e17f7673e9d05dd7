import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Log } from '../lib/log.ts'
import type { Identity, Subject } from '../model/identity.ts'
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
  { identity, subjects }: Mounted,
): Promise<FastifyReply | undefined> {
  const header = request.headers.authorization
  const token = basicPassword(header) ?? bearerToken(header)
  const subject = token === null ? null : await identity.authenticate(token)
  if (subject === null) {
    reply.header('www-authenticate', 'Basic realm="fairway"')
    return await refuse(reply, 401, 'UNAUTHORIZED', 'log in with any user name and a token')
  }
  const reads = request.method === 'GET' || request.method === 'HEAD'
  const decision = identity.decide(
    subject,
    reads ? 'image:pull' : 'image:push',
    { app: null },
    null,
  )
  subjects.set(request, subject)
  if (decision.allowed) return undefined
  return await refuse(reply, 403, 'DENIED', decision.reason)
}

function refuse(reply: FastifyReply, status: number, code: string, message: string): FastifyReply {
  reply.header('docker-distribution-api-version', 'registry/2.0')
  return reply.code(status).send({ errors: [{ code, message }] })
}

async function pass(
  request: FastifyRequest,
  reply: FastifyReply,
  { handler, log, identity, subjects }: Mounted,
): Promise<void> {
  reply.hijack()
  const response = reply.raw
  try {
    const subject = subjects.get(request) ?? null
    await handler(request.raw, response, (does, repository) => {
      const { app, environment } = placeOf(repository)
      return identity.decide(subject, `image:${does}`, { app }, environment).allowed
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
