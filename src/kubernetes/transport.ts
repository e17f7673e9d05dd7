import { Agent, type Dispatcher } from 'undici'
import type { ClusterConnection } from './kubeconfig.ts'

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  /** With query. */
  readonly path: string
  readonly accept?: string
  readonly body?: { readonly type: string; readonly text: string }
  readonly signal?: AbortSignal | undefined
  /** Longest time to the head of the answer, and between two pieces of its body; 0 = no limit for the body. */
  readonly headersTimeoutMs?: number
  readonly bodyTimeoutMs?: number
}

export type HttpResponse = Dispatcher.ResponseData

const CONNECT_MS = 5_000
const HEADERS_MS = 30_000
const BODY_MS = 30_000

/** HTTPS to one API server as one user. Connections are kept; credentials are added here and nowhere else. */
export class Transport {
  readonly #connection: ClusterConnection
  readonly #agent: Agent
  readonly #userAgent: string

  constructor(connection: ClusterConnection, userAgent: string) {
    this.#connection = connection
    this.#userAgent = userAgent
    this.#agent = new Agent({
      connect: { ...tlsOptions(connection), timeout: CONNECT_MS },
      keepAliveTimeout: 30_000,
    })
  }

  get server(): string {
    return this.#connection.server
  }

  get user(): string {
    return this.#connection.user
  }

  /** Resolves with the head of the answer, whatever its status. Rejects where none came. */
  async send(request: HttpRequest): Promise<HttpResponse> {
    const url = new URL(this.#connection.server)
    const { method, body, signal, headersTimeoutMs = HEADERS_MS, bodyTimeoutMs = BODY_MS } = request
    return await this.#agent.request({
      origin: url.origin,
      path: `${url.pathname.replace(/\/$/, '')}${request.path}`,
      method,
      headers: {
        accept: request.accept ?? 'application/json',
        ...(body === undefined ? {} : { 'content-type': body.type }),
        ...(await this.headers()),
      },
      body: body?.text ?? null,
      headersTimeout: headersTimeoutMs,
      bodyTimeout: bodyTimeoutMs,
      ...(signal === undefined ? {} : { signal }),
    })
  }

  /** For protocols that open their own connection, such as WebSocket. */
  async headers(): Promise<Record<string, string>> {
    const token = await this.#connection.token?.()
    return {
      'user-agent': this.#userAgent,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    }
  }

  tls(): TlsOptions {
    return tlsOptions(this.#connection)
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }
}

export interface TlsOptions {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly servername?: string
  readonly rejectUnauthorized: boolean
}

function tlsOptions(connection: ClusterConnection): TlsOptions {
  const { ca, certificate, key, serverName, insecure } = connection
  return {
    ...(ca === null ? {} : { ca }),
    ...(certificate === null ? {} : { cert: certificate }),
    ...(key === null ? {} : { key }),
    ...(serverName === null ? {} : { servername: serverName }),
    rejectUnauthorized: !insecure,
  }
}
