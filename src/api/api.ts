import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { createServer, type RequestListener, type Server } from 'node:http'
import { BYTES } from '../contract/endpoint.ts'
import type { Log } from '../lib/log.ts'
import { FairwayError } from '../model/errors.ts'
import type { AccessRules } from '../model/access.ts'
import type { Audit, AuditReader } from '../model/audit.ts'
import type { Identity } from '../model/identity.ts'
import type { Login, Users } from '../model/login.ts'
import type { Installer } from '../model/installer.ts'
import type { KubeAccess } from '../model/kube-access.ts'
import type { Manifests } from '../model/manifests.ts'
import type { Platform } from '../model/platform.ts'
import type { SourceStore } from '../model/source.ts'
import type { Nodes } from '../model/nodes.ts'
import type { Targets } from '../model/targets.ts'
import type { WorkloadIdentities } from '../model/workload.ts'
import { accessRoutes } from './access-routes.ts'
import { appRoutes, rolloutRoutes } from './app-routes.ts'
import { auditRoutes } from './audit-routes.ts'
import { clusterAccessRoutes } from './cluster-access-routes.ts'
import { Connections } from './connections.ts'
import { isOwnHost } from './host-check.ts'
import { identityRoutes } from './identity-routes.ts'
import { mountLoginPages } from './login-pages.ts'
import { loginRoutes } from './login-routes.ts'
import { manifestRoutes } from './manifest-routes.ts'
import { nodeRoutes } from './node-routes.ts'
import { DEFAULT_LIMITS, type ApiLimits } from './limits.ts'
import { logFailure, rawProblem, toFairwayError, toProblem } from './problem.ts'
import { mountRegistry, type RegistryHandler } from './registry-mount.ts'
import type { Routes } from './route.ts'
import { RouteServer } from './route-server.ts'
import { serverRoutes, type ServerInfo } from './server-routes.ts'
import { parseShallowJson } from './shallow-json.ts'
import { sourceRoutes } from './source-routes.ts'
import { targetRoutes } from './target-routes.ts'
import { Upgrades } from './upgrade.ts'
import { secretRoutes } from './secret-routes.ts'
import { workloadRoutes } from './workload-routes.ts'

export interface ApiOptions {
  readonly platform: Platform
  readonly sources: SourceStore
  readonly identity: Identity
  readonly audit: Audit & AuditReader
  readonly login: Login
  readonly users: Users
  readonly accessRules: AccessRules
  readonly targets: Targets
  readonly manifests: Manifests
  readonly nodes: Nodes
  readonly identities: WorkloadIdentities
  readonly access: KubeAccess
  readonly installer: Installer
  /** Null = no registry: /v2/ is not found. */
  readonly registry: RegistryHandler | null
  readonly info: ServerInfo
  readonly log: Log
  /** Names beside localhost, 127.0.0.1 and [::1] under which clients reach this server; lower case, without port. */
  readonly hosts?: readonly string[]
  readonly limits?: Partial<ApiLimits>
  /** True where browsers reach this server by https. */
  readonly secure?: boolean
}

/**
 * The whole HTTP API, not yet listening: `await api.listen({ host, port })`, `await api.close()` (ends streams, waits for answers under
 * way), `api.inject()` in tests. Sends no CORS headers, and cookies only on the pages of a login.
 */
export function createApi(options: ApiOptions): FastifyInstance {
  const limits: ApiLimits = { ...DEFAULT_LIMITS, ...options.limits }
  const app = createServerApp(limits)
  app.removeContentTypeParser('text/plain')
  parseShallowJson(app)
  app.addContentTypeParser(BYTES, (_request, payload, done) => done(null, payload))
  checkHosts(app, options)
  reportErrors(app, options.log)
  const upgrades = new Upgrades()
  const connections = new Connections()
  connections.watch(app.server)
  const routes: Routes = {
    ...serverRoutes(options.info),
    ...identityRoutes(options.identity),
    ...auditRoutes(options.audit, options.identity),
    ...loginRoutes(options.login, options.users, options.audit),
    ...targetRoutes(options.targets, options.installer),
    ...manifestRoutes(options.manifests),
    ...nodeRoutes(options.nodes),
    ...workloadRoutes(options.identities),
    ...clusterAccessRoutes(options.access),
    ...sourceRoutes(options.sources, limits),
    ...appRoutes(options.platform, options.identity),
    ...secretRoutes(options.platform, options.identity),
    ...rolloutRoutes(options),
    ...accessRoutes(options.accessRules),
  }
  const server = new RouteServer({ ...options, limits, upgrades })
  for (const one of Object.values(routes)) server.register(app, one)
  if (options.registry !== null) {
    mountRegistry(app, { ...options, handler: options.registry })
  }
  mountLoginPages(app, { ...options, secure: options.secure ?? false })
  upgrades.listen(app)
  app.addHook('preClose', (done) => {
    server.close()
    connections.close()
    done()
  })
  return app
}

function createServerApp(limits: ApiLimits): FastifyInstance {
  return fastify({
    logger: false,
    bodyLimit: limits.bodyBytes,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 200 },
    genReqId: requestIds(),
    frameworkErrors: (error, request, reply) => {
      const problem = toFairwayError(error, request.id)
      void sendProblem(reply, problem)
    },
    serverFactory: (handler) => createHttpServer(handler, limits),
  })
}

function createHttpServer(handler: RequestListener, limits: ApiLimits): Server {
  const server = createServer(
    {
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: 72_000,
      connectionsCheckingInterval: Math.min(30_000, limits.headersMs),
      shouldUpgradeCallback: (request) => Upgrades.wanted(request),
    },
    handler,
  )
  server.maxConnections = limits.connections
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy()
      return
    }
    socket.end(rawProblem(parserError(error.code)))
  })
  return server
}

function parserError(code: string | undefined): FairwayError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new FairwayError('TOO_LARGE', 'the headers are too large')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new FairwayError('TIMEOUT', 'the request did not arrive in time')
    default:
      return new FairwayError('INVALID_REQUEST', 'this is not valid HTTP, or it ended early')
  }
}

function requestIds(): () => string {
  let last = 0
  const start = Date.now().toString(36)
  return () => `${start}-${(last += 1)}`
}

function checkHosts(app: FastifyInstance, { hosts = [] }: ApiOptions): void {
  const configured = new Set(hosts.map((host) => host.toLowerCase()))
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('cache-control', 'no-store')
    reply.header('x-content-type-options', 'nosniff')
    if (isOwnHost(request.headers.host, configured)) done()
    else done(new FairwayError('FORBIDDEN', 'the header Host does not name this server', HOST_HINT))
  })
}

const HOST_HINT = { hint: 'Use localhost, or add the name to the hosts in the configuration.' }

function reportErrors(app: FastifyInstance, log: Log): void {
  app.setErrorHandler((error, request, reply) => {
    const problem = toFairwayError(error, request.id)
    logFailure(log, problem, request)
    return sendProblem(reply, problem)
  })
  app.setNotFoundHandler((request, reply) =>
    sendProblem(
      reply,
      new FairwayError('NOT_FOUND', `there is no ${request.method} on this path`, {
        hint: 'GET /v1/openapi.json lists all endpoints.',
      }),
    ),
  )
}

function sendProblem(reply: FastifyReply, problem: FairwayError): FastifyReply {
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer realm="fairway"')
  return reply.code(problem.status).send(toProblem(problem))
}
