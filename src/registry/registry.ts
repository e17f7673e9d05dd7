import type { IncomingMessage, ServerResponse } from 'node:http'
import { silentLog, type Log } from '../lib/log.ts'
import type { ImageStore } from '../oci/image-store.ts'
import { OciError } from '../oci/oci-error.ts'
import { BlobRoutes } from './blob-routes.ts'
import { answerJson, notAllowed, type Exchange } from './exchange.ts'
import { ManifestRoutes } from './manifest-routes.ts'
import { fromOciError, RegistryError } from './registry-error.ts'
import { parseRoute, type Route } from './route.ts'
import { UploadSessions } from './upload-sessions.ts'

export type RegistryAction = 'pull' | 'push' | 'delete'
export type Authorization = 'ok' | 'unauthenticated' | 'denied'

export interface RegistryLimits {
  readonly maxBlobBytes: number
  /** The specification asks for at least 4 MiB. */
  readonly maxManifestBytes: number
  /** Uploads open at once. */
  readonly maxUploads: number
  /** An upload that nobody touches for so long is forgotten. */
  readonly uploadTtlMs: number
}

export const REGISTRY_LIMITS: RegistryLimits = {
  maxBlobBytes: 16 * 2 ** 30,
  maxManifestBytes: 4 << 20,
  maxUploads: 256,
  uploadTtlMs: 60 * 60_000,
}

export interface RegistryOptions {
  readonly images: ImageStore
  /**
   * Whether who sent the request may do this. `repository` is '' for `GET /v2/`, where clients find out whether and how to log in: answer 'ok'
   * only to somebody known. Mounting asks for `pull` on the other repository as well.
   */
  readonly authorize: (
    request: IncomingMessage,
    action: RegistryAction,
    repository: string,
  ) => Promise<Authorization>
  readonly limits?: Partial<RegistryLimits>
  readonly now?: () => number
  /** Unguessable and usable in a path: who knows it may write to the upload. */
  readonly randomId: () => string
  readonly log?: Log
}

export interface Registry {
  /**
   * Answers every path below `/v2`. Never rejects. The HTTP server around it must not end long uploads: `requestTimeout: 0`.
   */
  readonly handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>
  /** Drops unfinished uploads. */
  readonly close: () => Promise<void>
}

const CHALLENGE = { 'www-authenticate': 'Basic realm="fairway", charset="UTF-8"' }

/** An OCI distribution 1.1 registry over an image store: what is pushed can be run, and what was baked and tagged can be pulled. */
export function createRegistry(options: RegistryOptions): Registry {
  const { images, randomId, now = Date.now, log = silentLog } = options
  const limits: RegistryLimits = { ...REGISTRY_LIMITS, ...options.limits }
  const { maxBlobBytes, maxManifestBytes, maxUploads, uploadTtlMs: ttlMs } = limits
  const uploads = new UploadSessions({ now, randomId, ttlMs, maxUploads })
  const mayRead = async ({ request }: Exchange, repository: string): Promise<boolean> =>
    (await options.authorize(request, 'pull', repository)) === 'ok'
  const blobs = new BlobRoutes({ images, uploads, maxBlobBytes, now, mayRead })
  const manifests = new ManifestRoutes({ images, maxManifestBytes, now })

  const respond = async (exchange: Exchange, path: string): Promise<void> => {
    const route = parseRoute(path)
    const repository = route === null || route.kind === 'base' ? '' : route.repository
    const action = actionOf(exchange.request.method ?? 'GET', route)
    requireAllowed(await options.authorize(exchange.request, action, repository), repository)
    await dispatch(route, exchange, { blobs, manifests })
  }

  return {
    handle: async (request, response) => {
      response.setHeader('docker-distribution-api-version', 'registry/2.0')
      const url = splitUrl(request.url ?? '/')
      const exchange = { request, response, query: url.query }
      try {
        await respond(exchange, url.path)
      } catch (error) {
        fail(exchange, error, log)
      } finally {
        // What was not read must not block the connection; Node discards only bodies that nobody began to read.
        request.resume()
      }
    },
    close: async () => {
      await uploads.close()
    },
  }
}

// Private

async function dispatch(
  route: Route | null,
  exchange: Exchange,
  { blobs, manifests }: { readonly blobs: BlobRoutes; readonly manifests: ManifestRoutes },
): Promise<void> {
  switch (route?.kind) {
    case undefined:
      throw new RegistryError({ status: 404, code: 'UNSUPPORTED' }, 'there is nothing at this path')
    case 'base':
      if (!['GET', 'HEAD'].includes(exchange.request.method ?? '')) throw notAllowed('GET')
      answerJson(exchange, {})
      return
    case 'blob':
      await blobs.blob(exchange, route.repository, route.digest)
      return
    case 'uploads':
      await blobs.open(exchange, route.repository)
      return
    case 'upload':
      await blobs.upload(exchange, route.repository, route.id)
      return
    case 'manifest':
      await manifests.manifest(exchange, route.repository, route.reference)
      return
    case 'tags':
      await manifests.tags(exchange, route.repository)
      return
    case 'referrers':
      await manifests.referrers(exchange, route.repository, route.digest)
  }
}

function actionOf(method: string, route: Route | null): RegistryAction {
  // Everything about an upload is part of pushing, also giving it up.
  if (route?.kind === 'uploads' || route?.kind === 'upload') return 'push'
  if (method === 'GET' || method === 'HEAD') return 'pull'
  return method === 'DELETE' ? 'delete' : 'push'
}

function requireAllowed(authorization: Authorization, repository: string): void {
  if (authorization === 'ok') return
  if (authorization === 'unauthenticated') {
    throw new RegistryError(
      { status: 401, code: 'UNAUTHORIZED', headers: CHALLENGE },
      'log in with any user name and a token as the password',
    )
  }
  throw new RegistryError({ status: 403, code: 'DENIED' }, `not allowed on ${repository || '/v2/'}`)
}

function splitUrl(url: string): { readonly path: string; readonly query: URLSearchParams } {
  const at = url.indexOf('?')
  const path = at < 0 ? url : url.slice(0, at)
  return { path: decoded(path), query: new URLSearchParams(at < 0 ? '' : url.slice(at + 1)) }
}

/** Some clients send `sha256%3A…`. What cannot be decoded matches no route. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return ''
  }
}

function fail(exchange: Exchange, error: unknown, log: Log): void {
  const { request, response } = exchange
  // A request that was only half read, or an answer that nobody waits for any more.
  if (response.destroyed || (request.destroyed && !request.complete)) {
    log.debug({ url: request.url }, 'registry client went away')
    return
  }
  const known =
    error instanceof RegistryError ? error : error instanceof OciError ? fromOciError(error) : null
  if (known === null || known.status >= 500) {
    log.error({ error, method: request.method, url: request.url }, 'registry request failed')
  }
  if (response.headersSent) {
    // Too late for an answer: a broken connection tells the client that this is not all.
    response.destroy()
    return
  }
  if (known === null) {
    const body = { errors: [{ code: 'UNKNOWN', message: 'something broke; see the log' }] }
    answerJson(exchange, body, { status: 500, headers: { connection: 'close' } })
    return
  }
  const { status, code, message, headers } = known
  answerJson(exchange, { errors: [{ code, message }] }, { status, headers })
}
