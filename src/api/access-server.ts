import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server, type ServerOptions } from 'node:https'
import type { Duplex } from 'node:stream'
import { z } from 'zod'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { InstanceIdentities } from '../model/instance-identity.ts'
import type { InstanceSecrets } from '../model/instance-secrets.ts'
import type { AccessGate, Admission } from '../model/kube-access.ts'
import { parseTargetName } from '../model/names.ts'
import { parseAccessPath } from './access-path.ts'
import { AccessSessions } from './access-sessions.ts'
import { rawStatus, sendJson, statusOf } from './access-status.ts'
import { bearerToken } from './credentials.ts'
import { answerIdentity } from './instance-identity.ts'
import { answerInstance } from './instance-secrets.ts'
import { reviewToken } from './token-review.ts'

/** What somebody did, or was not let do, on a cluster. */
export interface AccessEvent {
  readonly admission: Admission | null
  readonly target: string
  readonly method: string
  /** Without its query, which may hold values. */
  readonly path: string
  /** True for exec, attach, port-forward and the like. */
  readonly isStream: boolean
  readonly status: number
  /** Why it was refused; null where the cluster answered. */
  readonly refused: string | null
}

export interface AccessServerOptions {
  readonly gate: AccessGate
  readonly tls: ServerOptions
  readonly clock: Clock
  readonly log: Log
  /** Told of each request when it ends, and of each stream also when it begins. */
  readonly record: (event: AccessEvent) => void
  readonly lookMs?: number
  /** Absent = no instance of a cluster gets values here, or no identity. */
  readonly secrets?: InstanceSecrets
  readonly identities?: InstanceIdentities
}

const WELL_KNOWN = '/.well-known/openid-configuration'
const KEYS = '/keys'
/** API servers ask again for a key that they do not know, but not sooner than this: so long would a replaced key keep people out. */
const KEYS_SECONDS = 10
const REVIEW = /^\/clusters\/([a-z0-9-]+)\/token-review$/
const MAX_CONNECTIONS = 4000

/** The TLS server for clusters and for the programs of their users; not yet listening. Its only door to a cluster is a token for that cluster. */
export function createAccessServer(options: AccessServerOptions): {
  readonly server: Server
  readonly close: () => Promise<void>
} {
  const passages = new AccessServer(options)
  const server = createServer(
    {
      ...options.tls,
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
      headersTimeout: 15_000,
      requestTimeout: 120_000,
      keepAliveTimeout: 72_000,
    },
    (request, response) => void passages.answer(request, response),
  )
  server.maxConnections = MAX_CONNECTIONS
  server.on('upgrade', (request, socket, head) => void passages.upgrade(request, socket, head))
  return {
    server,
    close: async () => {
      passages.close()
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

class AccessServer {
  readonly #options: AccessServerOptions
  readonly #sessions: AccessSessions

  constructor(options: AccessServerOptions) {
    this.#options = options
    const { clock, lookMs } = options
    this.#sessions = new AccessSessions({ clock, ...(lookMs === undefined ? {} : { lookMs }) })
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined)
    try {
      if (await this.#own(request, response)) return
      await this.#pass(request, (admission, path, signal) =>
        this.#options.gate
          .door(admission)
          .then((door) => door.pass({ request, path, user: admission.user, signal }, response)),
      )
      if (!response.writableEnded) response.destroy()
    } catch (error) {
      const status = this.#statusOf(error)
      if (response.headersSent) response.destroy()
      else sendJson(response, status.code, status, { connection: 'close' })
    }
  }

  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => undefined)
    try {
      await this.#pass(request, async (admission, path, signal) => {
        const door = await this.#options.gate.door(admission)
        this.#record(request, admission, { status: 101, refused: null })
        return await door.upgrade({ request, path, user: admission.user, signal }, socket, head)
      })
      socket.destroy()
    } catch (error) {
      const status = this.#statusOf(error)
      // Once the cluster has answered this is no longer HTTP, and the socket is closed already.
      if (socket.writableEnded || socket.destroyed) socket.destroy()
      else socket.end(rawStatus(status))
    }
  }

  close(): void {
    this.#sessions.close()
  }

  /** Answers what is about tokens themselves, and instances; false for what is for a cluster. */
  async #own(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const { method } = request
    // API servers add `?timeout=30s` to what they ask of a webhook.
    const [path = ''] = (request.url ?? '').split('?')
    const { gate } = this.#options
    if (await this.#ofInstance(request, response)) return true
    if (method === 'GET' && path === WELL_KNOWN) {
      sendJson(response, 200, gate.discovery())
      return true
    }
    if (method === 'GET' && path === KEYS) {
      sendJson(response, 200, await gate.keys(), {
        'cache-control': `max-age=${String(KEYS_SECONDS)}`,
      })
      return true
    }
    const target = REVIEW.exec(path)?.[1]
    if (method !== 'POST' || target === undefined) return false
    const secret = bearerToken(request.headers.authorization)
    const name = parseTargetName(target)
    if (secret === null || !(await gate.isWebhook(secret, name)))
      throw new FairwayError('UNAUTHENTICATED', 'this is for the API server of the cluster alone')
    sendJson(response, 200, await reviewToken(request, (token) => gate.admit(token, name)))
    return true
  }

  async #ofInstance(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const { secrets, identities } = this.#options
    if (secrets !== undefined && (await answerInstance(request, response, secrets))) return true
    return identities !== undefined && (await answerIdentity(request, response, identities))
  }

  async #pass(
    request: IncomingMessage,
    task: (admission: Admission, path: string, signal: AbortSignal) => Promise<number>,
  ): Promise<void> {
    let admission: Admission | null = null
    try {
      const found = parseAccessPath(request.url ?? '')
      if (found === null) throw new FairwayError('INVALID_REQUEST', 'there is nothing on this path')
      refuseSmuggling(request)
      admission = await this.#admit(request, found.target)
      const admitted = admission
      const status = await this.#sessions.run(admitted, (signal) =>
        task(admitted, found.path, signal),
      )
      this.#record(request, admission, { status, refused: null })
    } catch (error) {
      const { code, message } = statusOf(error)
      this.#record(request, admission, { status: code, refused: message })
      throw error
    }
  }

  async #admit(request: IncomingMessage, name: string): Promise<Admission> {
    const { gate } = this.#options
    const target = parseTargetName(name)
    const token = bearerToken(request.headers.authorization)
    const admission = token === null ? null : await gate.admit(token, target)
    if (admission === null)
      throw new FairwayError(
        'UNAUTHENTICATED',
        'the token is none for this cluster, has expired, or was revoked',
      )
    if ((await gate.way(target)) !== 'proxy')
      throw new FairwayError('FORBIDDEN', `nobody goes to ${target} through this server`)
    return admission
  }

  #record(
    request: IncomingMessage,
    admission: Admission | null,
    { status, refused }: { readonly status: number; readonly refused: string | null },
  ): void {
    const { method = '', url = '' } = request
    const path = (url.split('?')[0] ?? '').slice(0, 500)
    const target = admission?.target ?? parseAccessPath(url)?.target ?? ''
    const isStream = request.headers.upgrade !== undefined
    this.#options.record({ admission, target, method, path, isStream, status, refused })
  }

  #statusOf(error: unknown): ReturnType<typeof statusOf> {
    const status = statusOf(error)
    if (status.code === 500)
      this.#options.log.error({ error: String(error) }, 'a request for a cluster failed')
    return status
  }
}

const connectionWords = z.enum(['keep-alive', 'close', 'upgrade'])

/**
 * Who a request is made as is for this server to say: every other way in which an API server lets itself be told is refused, so that nobody thinks it worked.
 * (Impersonation headers, the front proxy's headers, a bearer token as WebSocket subprotocol, `connection` that names headers to be taken out.)
 */
function refuseSmuggling(request: IncomingMessage): void {
  const names = request.rawHeaders.filter((_, index) => index % 2 === 0)
  const told = names.find((name) => /^(impersonate|x-remote)[-_]/i.test(name))
  if (told !== undefined)
    throw new FairwayError('FORBIDDEN', `the header ${told.slice(0, 80)} is not taken here`)
  const authorizations = names.filter((name) => /^(proxy-)?authorization$/i.test(name))
  if (authorizations.length > 1)
    throw new FairwayError('INVALID_REQUEST', 'expected one header Authorization')
  if (/base64url\.bearer\.authorization/i.test(request.headers['sec-websocket-protocol'] ?? ''))
    throw new FairwayError('FORBIDDEN', 'a token as a WebSocket subprotocol is not taken here')
  const words = (request.headers.connection ?? 'keep-alive').toLowerCase().split(/\s*,\s*/)
  if (!words.every((word) => connectionWords.safeParse(word.trim()).success))
    throw new FairwayError('INVALID_REQUEST', 'the header Connection may name no other headers')
  const { upgrade } = request.headers
  if (upgrade !== undefined && !/^(websocket|spdy\/3\.1)$/i.test(upgrade))
    throw new FairwayError('INVALID_REQUEST', 'expected an upgrade to WebSocket or SPDY/3.1')
}
