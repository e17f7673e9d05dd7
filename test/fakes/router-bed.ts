import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseAppName, parseEnvironmentName, parseProcessName } from '../../src/model/names.ts'
import type { Route, RouteTable, Service, Target } from '../../src/model/traffic.ts'
import { connectTraffic, type RouterControl } from '../../src/router/control-client.ts'
import { startRouter, type Router, type RouterOptions } from '../../src/router/router.ts'

const LOOPBACK = { host: '127.0.0.1', port: 0 }

/** A real router on port 0 with its control client, for tests. */
export class RouterBed {
  readonly router: Router
  readonly control: RouterControl
  readonly folder: string
  #revision = 0

  private constructor(router: Router, control: RouterControl, folder: string) {
    this.router = router
    this.control = control
    this.folder = folder
  }

  static async start(options: Partial<RouterOptions> = {}): Promise<RouterBed> {
    const folder = await mkdtemp(join(tmpdir(), 'fairway-router-'))
    const controlSocket = join(folder, 'control.sock')
    const router = await startRouter({
      stateDir: join(folder, 'state'),
      controlSocket,
      http: LOOPBACK,
      ...options,
    })
    return new RouterBed(router, connectTraffic(controlSocket), folder)
  }

  get port(): number {
    return this.router.addresses.http.port
  }

  /** One service `app/production/web` at host `app.test`, and what else is given. */
  async publish(
    targets: readonly Target[],
    more: Partial<Service> & { routes?: readonly Route[]; callers?: readonly string[] } = {},
  ): Promise<void> {
    const { routes = [], callers = [], ...service } = more
    const table = tableOf(++this.#revision, [{ ...webService(targets), ...service }], routes)
    await this.control.publish(
      table,
      callers.map((address) => ({ address, ref: webService([]).ref })),
    )
  }

  async close(): Promise<void> {
    await this.router.close()
    await rm(this.folder, { recursive: true, force: true })
  }
}

export function webService(targets: readonly Target[]): Service {
  const ref = { app: parseAppName('app'), environment: parseEnvironmentName('production') }
  const process = parseProcessName('web')
  return { key: 'app/production/web', ref, process, targets, expected: false, holdMs: 1000 }
}

export function tableOf(
  revision: number,
  services: readonly Service[],
  routes: readonly Route[] = [],
): RouteTable {
  const own = { host: 'app.test', path: '/', service: 'app/production/web' }
  return { revision, services, routes: [own, ...routes] }
}

/** A TCP server on port 0 whose connections are handled by the test. */
export class RawServer {
  readonly #server: Server
  readonly sockets = new Set<Socket>()
  accepted = 0

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(onSocket: (socket: Socket, number: number) => void): Promise<RawServer> {
    const server = createServer({ noDelay: true })
    const raw = new RawServer(server)
    server.on('connection', (socket) => {
      raw.sockets.add(socket)
      raw.accepted++
      socket.on('error', () => undefined)
      socket.on('close', () => raw.sockets.delete(socket))
      onSocket(socket, raw.accepted)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return raw
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  target(id = 't1', weight = 1): Target {
    return { id, weight, address: { host: '127.0.0.1', port: this.port } }
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** A raw client connection that gathers what it is sent. */
export class RawClient {
  readonly socket: Socket
  received = ''
  closed = false
  #changed: (() => void)[] = []

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true })
    this.socket.on('data', (chunk) => {
      this.received += chunk.toString('latin1')
      this.#wake()
    })
    this.socket.on('error', () => undefined)
    this.socket.on('close', () => {
      this.closed = true
      this.#wake()
    })
  }

  send(text: string | Buffer): this {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text)
    return this
  }

  /** Resolves when `done` holds of what was received, or the connection is closed; returns what was received. */
  async until(done: (received: string) => boolean): Promise<string> {
    const late = AbortSignal.timeout(60_000)
    while (!done(this.received) && !this.closed) {
      await new Promise<void>((resolve, reject) => {
        this.#changed.push(resolve)
        late.addEventListener('abort', () =>
          reject(
            new Error(`waited in vain; received ${JSON.stringify(this.received.slice(-500))}`),
          ),
        )
      })
    }
    return this.received
  }

  async untilClosed(): Promise<string> {
    return this.until(() => false)
  }

  close(): void {
    this.socket.destroy()
  }

  #wake(): void {
    const changed = this.#changed
    this.#changed = []
    for (const wake of changed) wake()
  }
}

/** Resolves when `check` holds, asked every few milliseconds; @throws Error after 60 s. */
export async function eventually(check: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 60_000
  while (!(await check())) {
    if (performance.now() > end) throw new Error('waited in vain')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
