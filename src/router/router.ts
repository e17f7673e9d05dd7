import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TlsOptions } from 'node:tls'
import { backoffMs } from '../lib/backoff.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog, type Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { Address } from '../model/instance.ts'
import { AwakeTime } from './awake-time.ts'
import { connectTraffic } from './control-client.ts'
import { ControlServer } from './control-server.ts'
import type { RouterStatus } from './control-schema.ts'
import { Doors } from './doors.ts'
import { readResolvers, type DnsUpstream } from './dns-forward.ts'
import { DnsServer } from './dns-server.ts'
import type { RequestLogEntry } from './downstream.ts'
import { DEFAULT_LIMITS, type RouterLimits } from './limits.ts'
import { Listener, Sources } from './listener.ts'
import { Plane } from './plane.ts'
import { TableFile } from './table-file.ts'

export interface HttpsOptions extends Address {
  /** Paths of PEM files; without them the machine's own authority signs for every routed host. */
  readonly files?: { readonly certificate: string; readonly key: string }
}

export interface RouterOptions {
  /** Keeps the table and the machine's authority; made where it is missing. */
  readonly stateDir: string
  readonly http?: Address
  readonly https?: HttpsOptions | null
  /** Where instances call `http://<process>.<app>.internal`. */
  readonly internal?: Address | null
  readonly dns?: Address | null
  readonly controlSocket: string
  readonly limits?: Partial<RouterLimits>
  readonly log?: Log
  readonly clock?: Clock
  readonly random?: () => number
  readonly onRequest?: (entry: RequestLogEntry) => void
  /** Where names outside `.internal` are asked; default: /etc/resolv.conf, read for each question. */
  readonly resolvers?: () => Promise<readonly DnsUpstream[]>
}

export interface RouterAddresses {
  readonly http: Address
  readonly https?: Address
  /** Missing while its address cannot be bound yet. */
  readonly internal?: Address
  readonly dns?: Address
  readonly control: string
}

export interface Router {
  readonly addresses: RouterAddresses
  /** Stops accepting, lets what is in flight finish for `limits.shutdownMs`, cuts the rest, and resolves. */
  close(): Promise<void>
}

const SWEEP_MS = 250
/** A client that is about to use its idle connection gets this long to do so during shutdown. */
const IDLE_GRACE_MS = 500
/** Same where another router serves already and there is no hurry: a client may send on a connection in the moment in which we close it. */
const SUCCEEDED_GRACE_MS = 5_000

/** Serves the stored table at once, then whatever is published. @throws where the public address cannot be bound */
export async function startRouter(options: RouterOptions): Promise<Router> {
  const router = new RunningRouter(options)
  await router.start()
  return router
}

interface Part {
  listen(shared: boolean): Promise<void>
}

class RunningRouter implements Router {
  readonly #options: RouterOptions
  readonly #limits: RouterLimits
  readonly #clock: Clock
  readonly #time: AwakeTime
  readonly #log: Log
  readonly #plane: Plane
  readonly #sources: Sources
  readonly #tableFile: TableFile
  readonly #control: ControlServer
  readonly #doors: Doors
  readonly #http: Listener
  readonly #internal: Listener | null
  readonly #dns: DnsServer | null
  readonly #startedAt: number
  readonly #stop = new AbortController()
  #https: Listener | null = null
  #shared = false
  #sweeper: NodeJS.Timeout | undefined
  #closed: Promise<void> | null = null

  constructor(options: RouterOptions) {
    const { clock = systemClock, log = silentLog, random = Math.random } = options
    this.#options = options
    this.#limits = Object.freeze({ ...DEFAULT_LIMITS, ...options.limits })
    this.#clock = clock
    this.#log = log
    this.#time = new AwakeTime(() => clock.elapsed(), SWEEP_MS)
    this.#startedAt = clock.now()
    this.#plane = new Plane({
      limits: this.#limits,
      clock,
      now: this.#time.now,
      log,
      random,
      requestId: requestIds(),
      onRequest: options.onRequest,
    })
    this.#sources = new Sources(this.#limits)
    this.#doors = new Doors({
      listener: (address, door) => this.#listener(address, true, null, door),
      shared: () => this.#shared,
      clock,
      log,
      signal: this.#stop.signal,
    })
    this.#tableFile = new TableFile(options.stateDir, log)
    this.#control = new ControlServer({
      socketPath: options.controlSocket,
      plane: this.#plane,
      served: ({ callers }) => this.#doors.update(callers),
      tableFile: this.#tableFile,
      status: () => this.#status(),
      log,
    })
    this.#http = this.#listener(options.http ?? { host: '127.0.0.1', port: 8080 }, false, null)
    const internal = options.internal ?? null
    this.#internal = internal === null ? null : this.#listener(internal, true, null)
    this.#dns = this.#dnsServer(options.dns ?? null)
  }

  get addresses(): RouterAddresses {
    const https = this.#https?.address ?? null
    const internal = this.#internal?.address ?? null
    const dns = this.#dns?.address ?? null
    return {
      http: this.#http.address ?? { host: '', port: 0 },
      ...(https === null ? {} : { https }),
      ...(internal === null ? {} : { internal }),
      ...(dns === null ? {} : { dns }),
      control: this.#options.controlSocket,
    }
  }

  async start(): Promise<void> {
    await this.#tableFile.prepare()
    this.#shared = await this.#hasPredecessor()
    await this.#loadTable()
    await this.#http.listen(this.#shared)
    const { https = null } = this.#options
    if (https !== null) {
      this.#https = this.#listener(https, false, await this.#tlsOptions(https))
      await this.#https.listen(this.#shared)
    }
    await Promise.all([this.#keepTrying(this.#internal), this.#keepTrying(this.#dns)])
    await this.#control.listen()
    // A router that ran until now may have stored a newer table between our first look and our taking over of its socket.
    await this.#loadTable()
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS)
  }

  close(): Promise<void> {
    this.#closed ??= this.#shutDown()
    return this.#closed
  }

  async #shutDown(): Promise<void> {
    const listeners = this.#listeners()
    this.#stop.abort()
    const graceMs = (await this.#hasSuccessor()) ? SUCCEEDED_GRACE_MS : IDLE_GRACE_MS
    this.#control.close()
    this.#dns?.close()
    for (const listener of listeners) listener.stopAccepting()
    const late = new AbortController()
    const wait = (ms: number): Promise<void> =>
      this.#clock.sleep(ms, late.signal).catch(() => undefined)
    const deadline = wait(this.#limits.shutdownMs)
    if (listeners.some((listener) => listener.connections > 0)) {
      await Promise.race([this.#untilNoneOpen(listeners, wait, graceMs), deadline])
    }
    for (const listener of listeners) listener.closeIdle()
    await Promise.race([this.#plane.idle(), deadline])
    const cut = this.#plane.cutAll()
    if (cut > 0) {
      this.#log.warn({ cut }, 'requests were cut at the end of the shutdown')
      await Promise.race([this.#plane.idle(), wait(1500)])
    }
    late.abort()
    clearInterval(this.#sweeper)
    for (const listener of listeners) listener.destroy()
    this.#plane.close()
  }

  async #loadTable(): Promise<void> {
    const stored = await this.#tableFile.read()
    const current = this.#plane.published?.table.revision ?? -1
    if (stored !== null && stored.table.revision > current) {
      this.#plane.publish(stored)
      await this.#doors.update(stored.callers)
    }
  }

  #listeners(): Listener[] {
    const fixed = [this.#http, this.#https, this.#internal].filter((listener) => listener !== null)
    return [...fixed, ...this.#doors.listeners]
  }

  #listener(
    address: Address,
    internal: boolean,
    tls: TlsOptions | null,
    door: string | null = null,
  ): Listener {
    return new Listener({
      address: { host: address.host, port: address.port },
      internal,
      door,
      tls,
      plane: this.#plane,
      limits: this.#limits,
      sources: this.#sources,
      now: this.#time.now,
      log: this.#log,
    })
  }

  #dnsServer(address: Address | null): DnsServer | null {
    if (address === null) return null
    const { resolvers = () => readResolvers('/etc/resolv.conf') } = this.#options
    return new DnsServer({
      address,
      answer: () => this.#internal?.address?.host ?? null,
      caller: (source) => this.#plane.caller(source),
      knows: (host, caller) => this.#plane.knows(host, caller),
      upstreams: resolvers,
      log: this.#log,
    })
  }

  async #tlsOptions(https: HttpsOptions): Promise<TlsOptions> {
    const common: TlsOptions = { ALPNProtocols: ['h2', 'http/1.1'], minVersion: 'TLSv1.2' }
    if (https.files !== undefined) {
      const { certificate, key } = https.files
      return { ...common, cert: await readFile(certificate), key: await readFile(key) }
    }
    // Loaded only where it is needed: half of the router's memory at rest.
    const { LocalAuthority } = await import('./local-authority.ts')
    const folder = join(this.#options.stateDir, 'tls')
    const authority = await LocalAuthority.open(folder, () => this.#clock.now())
    return {
      ...common,
      SNICallback: (name, done) => {
        const host = name.toLowerCase()
        // Only hosts that are served get a certificate: nobody makes us sign and store names without end.
        authority.context(this.#plane.serves(host) ? host : 'localhost').then(
          (context) => done(null, context),
          (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
        )
      },
      ...(await authority.files('localhost')),
    }
  }

  // Another router behind our socket is one that we take over from.
  async #hasPredecessor(): Promise<boolean> {
    try {
      await connectTraffic(this.#options.controlSocket).status()
      return true
    } catch (error) {
      if (error instanceof FairwayError && error.code === 'ROUTER_UNAVAILABLE') return false
      throw error
    }
  }

  async #hasSuccessor(): Promise<boolean> {
    try {
      return (await connectTraffic(this.#options.controlSocket).status()).pid !== process.pid
    } catch (error) {
      if (error instanceof FairwayError && error.code === 'ROUTER_UNAVAILABLE') return false
      throw error
    }
  }

  async #untilNoneOpen(
    listeners: readonly Listener[],
    wait: (ms: number) => Promise<void>,
    graceMs: number,
  ): Promise<void> {
    const end = this.#clock.elapsed() + graceMs
    while (this.#clock.elapsed() < end && listeners.some(({ connections }) => connections > 0)) {
      await wait(50)
    }
  }

  // The interface of the instances' network can come up after the router.
  async #keepTrying(part: Part | null): Promise<void> {
    if (part === null) return
    try {
      await part.listen(this.#shared)
    } catch (error) {
      this.#log.warn({ error: String(error) }, 'an internal address cannot be bound yet')
      void this.#retry(part, 1)
    }
  }

  async #retry(part: Part, failures: number): Promise<void> {
    try {
      await this.#clock.sleep(backoffMs(failures, { firstMs: 200, maxMs: 5000 }), this.#stop.signal)
      await part.listen(this.#shared)
    } catch {
      if (!this.#stop.signal.aborted) void this.#retry(part, failures + 1)
    }
  }

  #sweep(): void {
    const missedMs = this.#time.tick()
    if (missedMs > 0) {
      this.#log.warn({ missedMs: Math.round(missedMs) }, 'the router could not run for a while')
      this.#plane.closeIdle()
    }
    const now = this.#time.now()
    this.#plane.sweep(now)
    for (const listener of this.#listeners()) listener.sweep(now)
  }

  #status(): RouterStatus {
    const { http, https = null, internal = null, dns = null, control } = this.addresses
    return {
      pid: process.pid,
      startedAt: this.#startedAt,
      revision: this.#plane.published?.table.revision ?? null,
      connections: this.#sources.total,
      inflight: this.#plane.inflight,
      memoryBytes: process.memoryUsage.rss(),
      addresses: { http, https, internal, dns, control },
    }
  }
}

/** Unique for this router's life, and not to be confused with another's. */
function requestIds(): () => string {
  const prefix = randomBytes(6).toString('hex')
  let count = 0
  return () => `${prefix}-${(count++).toString(36)}`
}
