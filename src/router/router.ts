import { randomBytes } from 'node:crypto'
import type { TlsOptions } from 'node:tls'
import { backoffMs } from '../lib/backoff.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog, type Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { Address, InstanceId } from '../model/instance.ts'
import { AwakeTime } from './awake-time.ts'
import { ControlServer } from './control-server.ts'
import type { RouterStatus } from './control-schema.ts'
import { Doors } from './doors.ts'
import { readResolvers, type DnsUpstream } from './dns-forward.ts'
import { DnsServer } from './dns-server.ts'
import type { RequestLogEntry } from './downstream.ts'
import { DEFAULT_LIMITS, type RouterLimits } from './limits.ts'
import { Listener, Sources } from './listener.ts'
import { InheritedSockets, type SocketDescriptors } from './listening-sockets.ts'
import { Plane, type Published } from './plane.ts'
import { Predecessor } from './predecessor.ts'
import { Succession, type KinChannel, type StartSuccessor } from './succession.ts'
import { TableFile } from './table-file.ts'
import { tlsOptionsOf, type HttpsOptions } from './tls-options.ts'

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
  /** Sockets of the router before, which still runs. */
  readonly inherited?: SocketDescriptors
  /** To the router before. */
  readonly predecessor?: KinChannel | null
  /** Without it the router cannot be replaced under way. */
  readonly startSuccessor?: StartSuccessor
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
  /** Resolves when another router took over: there is nothing left to do but to close. */
  readonly succeeded: Promise<void>
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
  readonly names: readonly string[]
  readonly descriptors: SocketDescriptors
  listen(inherited: InheritedSockets): Promise<void>
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
  readonly #inherited: InheritedSockets
  readonly #predecessor: Predecessor
  readonly #succession: Succession
  readonly succeeded: Promise<void>
  readonly #http: Listener
  readonly #internal: Listener | null
  readonly #dns: DnsServer | null
  readonly #startedAt: number
  readonly #stop = new AbortController()
  #https: Listener | null = null
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
    this.#inherited = new InheritedSockets(options.inherited ?? new Map())
    this.#predecessor = new Predecessor(options.predecessor ?? null, clock)
    this.#doors = new Doors({
      listener: (address, door) => this.#listener(address, true, null, door),
      inherited: this.#inherited,
      clock,
      log,
      signal: this.#stop.signal,
    })
    this.#tableFile = new TableFile(options.stateDir, log)
    this.#control = new ControlServer({
      socketPath: options.controlSocket,
      plane: this.#plane,
      serve: (published) => this.#serve(published),
      drain: (id, deadlineMs) => this.#drain(id, deadlineMs),
      succeed: (order) => this.#succession.begin(order),
      tableFile: this.#tableFile,
      status: () => this.#status(),
      clock,
      log,
    })
    const succeeded = Promise.withResolvers<undefined>()
    this.succeeded = succeeded.promise
    this.#succession = new Succession({
      start: options.startSuccessor ?? refuseSuccessor,
      sockets: () => this.#descriptors(),
      publish: (published) => this.#publish(published),
      drain: (id, deadlineMs) => this.#drain(id, deadlineMs),
      settle: () => this.#control.settle(),
      succeeded: () => succeeded.resolve(undefined),
      failed: () => void this.#reclaim(),
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
    await this.#loadTable()
    const parts = await this.#parts()
    const inherited = parts.filter((part) => this.#isInherited(part))
    // What can fail comes first: the router before still has everything.
    for (const part of parts) if (!inherited.includes(part)) await this.#open(part)
    await this.#control.listen()
    await this.#predecessor.settle()
    // A router that ran until now may have stored a newer table between our first look and our taking over of its socket.
    await this.#loadTable()
    this.#control.open()
    for (const part of inherited) await this.#open(part)
    await this.#doors.update(this.#plane.published?.callers ?? [])
    this.#inherited.closeRest()
    this.#predecessor.dismiss()
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS)
  }

  close(): Promise<void> {
    this.#closed ??= this.#shutDown()
    return this.#closed
  }

  async #shutDown(): Promise<void> {
    const listeners = this.#listeners()
    this.#stop.abort()
    const graceMs = this.#succession.done ? SUCCEEDED_GRACE_MS : IDLE_GRACE_MS
    // Nobody finds us by our path any more, and who asked before is answered.
    if (!this.#succession.done) this.#control.close()
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
    if (this.#succession.done) await this.#control.leave()
    this.#plane.close()
  }

  async #loadTable(): Promise<void> {
    const stored = await this.#tableFile.read()
    const current = this.#plane.published?.table.revision ?? -1
    if (stored !== null && stored.table.revision > current) this.#plane.publish(stored)
  }

  async #serve(published: Published): Promise<void> {
    await this.#publish(published)
    await this.#doors.update(published.callers)
  }

  async #publish(published: Published): Promise<void> {
    this.#plane.publish(published)
    await this.#predecessor.publish(published)
  }

  async #drain(id: InstanceId, deadlineMs: number): Promise<{ readonly cut: number }> {
    const drained = await Promise.all([
      this.#plane.drain(id, deadlineMs),
      this.#predecessor.drain(id, deadlineMs),
    ])
    return { cut: drained.reduce((total, { cut }) => total + cut, 0) }
  }

  // The next router may have taken the control socket before it ended.
  async #reclaim(): Promise<void> {
    this.#log.error({}, 'the next router ended before it served; this one goes on')
    if (this.#closed === null) await this.#control.listen()
  }

  async #parts(): Promise<readonly Part[]> {
    const { https = null, stateDir } = this.#options
    if (https !== null) {
      const certificates = {
        stateDir,
        now: () => this.#clock.now(),
        serves: (host: string) => this.#plane.serves(host),
      }
      this.#https = this.#listener(https, false, await tlsOptionsOf(https, certificates))
    }
    return [this.#http, this.#https, this.#internal, this.#dns].filter((part) => part !== null)
  }

  // The interface of the instances' network can come up after the router.
  async #open(part: Part): Promise<void> {
    if (part === this.#internal || part === this.#dns) await this.#keepTrying(part)
    else await part.listen(this.#inherited)
  }

  #isInherited(part: Part): boolean {
    return part.names.some((name) => this.#inherited.has(name))
  }

  #descriptors(): SocketDescriptors {
    const parts = [...this.#listeners(), ...(this.#dns === null ? [] : [this.#dns])]
    return new Map(parts.flatMap(({ descriptors }) => [...descriptors]))
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

  async #keepTrying(part: Part): Promise<void> {
    try {
      await part.listen(this.#inherited)
    } catch (error) {
      this.#log.warn({ error: String(error) }, 'an internal address cannot be bound yet')
      void this.#retry(part, 1)
    }
  }

  async #retry(part: Part, failures: number): Promise<void> {
    try {
      await this.#clock.sleep(backoffMs(failures, { firstMs: 200, maxMs: 5000 }), this.#stop.signal)
      await part.listen(this.#inherited)
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

function refuseSuccessor(): never {
  throw new FairwayError('CONFLICT', 'this router cannot be replaced while it runs')
}
