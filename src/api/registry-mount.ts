import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Log } from '../lib/log.ts'
import type { Identity } from '../model/identity.ts'
import { basicPassword, bearerToken } from './credentials.ts'

/** Answers one request of the OCI distribution API; the path still begins with /v2/. */
export type RegistryHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

export interface RegistryOptions {
  readonly handler: RegistryHandler
  readonly identity: Identity
  readonly log: Log
}

/**
 * Mounts the registry at /v2/: bodies go through untouched, errors have the form of the OCI distribution specification. Any user name
 * with a token as the password; reading needs image:pull, everything else image:push.
 */
export function mountRegistry(app: FastifyInstance, options: RegistryOptions): void {
  app.register((scope, _, done) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, payload, parsed) => parsed(null, payload))
    scope.addHook('onRequest', async (request, reply) => await authorise(request, reply, options))
    const answer = {
      method: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      handler: async (request: FastifyRequest, reply: FastifyReply) => {
        await pass(request, reply, options)
      },
    }
    scope.route({ ...answer, url: '/v2' })
    scope.route({ ...answer, url: '/v2/*' })
    done()
  })
}

async function authorise(
  request: FastifyRequest,
  reply: FastifyReply,
  { identity }: RegistryOptions,
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
  { handler, log }: RegistryOptions,
): Promise<void> {
  reply.hijack()
  const response = reply.raw
  try {
    await handler(request.raw, response)
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
