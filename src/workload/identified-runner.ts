import { join } from 'node:path'
import type { Log } from '../lib/log.ts'
import { KeyedMutex } from '../lib/mutex.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type {
  ExitFacts,
  FoundInstance,
  InstanceId,
  InstanceSpec,
  Usage,
} from '../model/instance.ts'
import type { ExecRequest, ExecSession, Runner } from '../model/runner.ts'
import {
  WORKLOAD_SOCKET,
  type InstancePayload,
  type PrivateFolder,
  type PrivateFolderName,
  type ReloadSignal,
} from '../model/secrets.ts'
import type { Authority, Issued } from './authority.ts'
import type { X509Svid } from './certificate.ts'
import { Holder, identityFolder, renewalTime } from './holder.ts'
import { workloadId } from './spiffe-id.ts'

export interface IdentifiedRunnerOptions {
  readonly runner: Runner
  readonly authority: Authority
  readonly clock: Clock
  readonly log: Log
  /** Life of an SVID in milliseconds, by which is decided how often to look. */
  readonly svidMs: number
  /** From 0 to 1; default Math.random. */
  readonly random?: () => number
}

const NOTHING: InstancePayload = { folders: [], env: new Map() }
/** Looks for what is due so often in the life of an SVID. */
const LOOKS = 40

/** A runner whose instances have an identity: SVID, key and bundle in memory, kept new, and the Workload API at a socket of their own. Runs them as the runner that it wraps does. */
export class IdentifiedRunner implements Runner {
  readonly name: Runner['name']
  readonly isolates: boolean
  readonly flavour: Runner['flavour']
  readonly #options: IdentifiedRunnerOptions
  readonly #runner: Runner
  readonly #holders = new Map<InstanceId, Holder>()
  /** Of instances that are made ahead. */
  readonly #ahead = new Map<InstanceId, Issued<X509Svid>>()
  readonly #mutex = new KeyedMutex()
  /** Of the bundle that everybody has. */
  #sequence = 0
  readonly #closing = new AbortController()
  readonly #work = new Set<Promise<void>>()
  #stopListening = (): void => undefined

  constructor(options: IdentifiedRunnerOptions) {
    this.#options = options
    const { name, isolates, flavour } = options.runner
    this.name = name
    this.isolates = isolates
    this.flavour = flavour
    this.#runner = options.runner
  }

  /** Also what an earlier server started gets a new SVID, at once: how old its own is, is not known. */
  async open(): Promise<void> {
    const { authority } = this.#options
    await this.#runner.open()
    this.#stopListening = authority.onChange(() => this.#background(this.#follow()))
    for (const found of await this.#runner.list()) await this.#adopt(found)
    this.#background(this.#keepRenewing())
  }

  async start(
    spec: InstanceSpec,
    introduce?: (source: string) => Promise<void>,
    payload: InstancePayload | Promise<InstancePayload> = NOTHING,
  ): Promise<FoundInstance> {
    const svid = this.#svidOf(spec)
    const given = this.#withIdentity(payload, svid)
    // Nobody waits for it where the instance runs already, or cannot be made.
    given.catch(() => undefined)
    const introduced = new Set<string>()
    const introduceIt = async (source: string): Promise<void> => {
      introduced.add(source)
      await introduce?.(source)
    }
    const found = await this.#runner.start(withFolder(spec), introduceIt, given)
    if (introduced.size === 0) await this.#adopt(found)
    else {
      const holder = new Holder(await svid)
      await this.#keep(spec.id, holder)
      // What changed while it was made has passed it by.
      if (await this.#isOld(await svid)) await this.#renew(spec.id, holder)
    }
    return found
  }

  async prepare(spec: InstanceSpec): Promise<string | null> {
    const source = await this.#runner.prepare(withFolder(spec))
    if (source === null) return null
    try {
      this.#ahead.set(spec.id, await this.#options.authority.x509Svid(this.#idOf(spec)))
    } catch (error) {
      // The start tries again, and fails if it has to.
      this.#tellOf(spec.id, error)
    }
    return source
  }

  place(id: InstanceId, folder: PrivateFolder): Promise<void> {
    return this.#runner.place(id, folder)
  }

  signal(id: InstanceId, signal: ReloadSignal): Promise<void> {
    return this.#runner.signal(id, signal)
  }

  privatePath(id: InstanceId, name: PrivateFolderName): Promise<string | null> {
    return this.#runner.privatePath(id, name)
  }

  list(): Promise<readonly FoundInstance[]> {
    return this.#runner.list()
  }

  waitForExit(id: InstanceId, signal?: AbortSignal): Promise<ExitFacts | null> {
    return this.#runner.waitForExit(id, signal)
  }

  async stop(id: InstanceId, options: { signal: string; graceMs: number }): Promise<void> {
    await this.#runner.stop(id, options)
    await this.#forget(id)
  }

  async remove(id: InstanceId): Promise<void> {
    await this.#forget(id)
    await this.#runner.remove(id)
  }

  exec(id: InstanceId, request: ExecRequest): Promise<ExecSession> {
    return this.#runner.exec(id, request)
  }

  usage(id: InstanceId): Promise<Usage | null> {
    return this.#runner.usage(id)
  }

  listeningPorts(id: InstanceId): Promise<readonly number[]> {
    return this.#runner.listeningPorts(id)
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the runner closes'))
    this.#stopListening()
    for (const id of [...this.#holders.keys()]) await this.#forget(id)
    await Promise.all(this.#work)
    await this.#runner.close()
  }

  // Private

  /** Signed ahead with the instance, if nothing has changed since and it is not due for renewal; else now, while the instance is made. */
  async #svidOf(spec: InstanceSpec): Promise<Issued<X509Svid>> {
    const { authority, clock } = this.#options
    const ahead = this.#ahead.get(spec.id)
    this.#ahead.delete(spec.id)
    const isGood = ahead !== undefined && renewalTime(ahead, 0) > clock.now()
    if (isGood && !(await this.#isOld(ahead))) return ahead
    return await authority.x509Svid(this.#idOf(spec))
  }

  /** Whether the bundle was another one when it was signed. */
  async #isOld({ sequence }: Issued<X509Svid>): Promise<boolean> {
    return (await this.#options.authority.bundle()).sequence !== sequence
  }

  async #withIdentity(
    payload: InstancePayload | Promise<InstancePayload>,
    svid: Promise<X509Svid>,
  ): Promise<InstancePayload> {
    const [given, made] = await Promise.all([payload, svid])
    const folder = identityFolder(made, await this.#options.authority.bundle())
    return { ...given, folders: [...given.folders, folder] }
  }

  #idOf({ ref, process }: Pick<InstanceSpec, 'ref' | 'process'>) {
    return workloadId(this.#options.authority.trustDomain, ref, process)
  }

  async #adopt({ spec, state }: FoundInstance): Promise<void> {
    const has = spec.privateFolders?.includes('identity') === true
    if (state !== 'running' || !has || this.#holders.has(spec.id)) return
    try {
      const holder = new Holder(await this.#options.authority.x509Svid(this.#idOf(spec)))
      await this.#keep(spec.id, holder)
      await this.#renew(spec.id, holder)
    } catch (error) {
      this.#tellOf(spec.id, error)
    }
  }

  /** The socket comes with the holder; an instance without one still has its files. */
  async #keep(id: InstanceId, holder: Holder): Promise<void> {
    const { authority, log, random = Math.random } = this.#options
    holder.due = renewalTime(holder.svid(), random())
    this.#holders.set(id, holder)
    try {
      const path = await this.#runner.privatePath(id, 'identity')
      if (path === null) return
      const { WorkloadApi } = await import('./workload-api.ts')
      const api = new WorkloadApi({ authority, caller: holder, log })
      await api.listen(join(path, WORKLOAD_SOCKET))
      if (this.#holders.get(id) === holder) holder.api = api
      else await api.close()
    } catch (error) {
      this.#tellOf(id, error)
    }
  }

  async #forget(id: InstanceId): Promise<void> {
    this.#ahead.delete(id)
    const holder = this.#holders.get(id)
    this.#holders.delete(id)
    await holder?.api?.close()
  }

  async #keepRenewing(): Promise<void> {
    const { clock, svidMs } = this.#options
    const { signal } = this.#closing
    const over = (): boolean => signal.aborted
    while (!over()) {
      await clock.sleep(svidMs / LOOKS, signal).catch(() => undefined)
      for (const [id, holder] of this.#holders)
        if (!over() && holder.due <= clock.now()) await this.#renew(id, holder)
    }
  }

  /** A new key and certificate; where that fails the old ones stay, and it is tried again when next looked. */
  async #renew(id: InstanceId, holder: Holder): Promise<void> {
    const { authority, random = Math.random } = this.#options
    await this.#change(id, holder, async () => {
      const svid = await authority.x509Svid(holder.id)
      await this.#runner.place(id, identityFolder(svid, await authority.bundle()))
      holder.take(svid)
      holder.due = renewalTime(svid, random())
    })
  }

  /** Where the bundle has changed everybody gets it now, with a new SVID, as what signed the old one may not be in it any more. */
  async #follow(): Promise<void> {
    const { sequence } = await this.#options.authority.bundle()
    if (sequence === this.#sequence) return
    this.#sequence = sequence
    for (const holder of this.#holders.values()) holder.due = 0
    for (const [id, holder] of this.#holders) await this.#renew(id, holder)
  }

  async #change(id: InstanceId, holder: Holder, change: () => Promise<void>): Promise<void> {
    await this.#mutex.run(id, async () => {
      if (this.#holders.get(id) !== holder) return
      try {
        await change()
        holder.announce()
      } catch (error) {
        const gone = error instanceof FairwayError && GONE.has(error.code)
        if (gone) await this.#forget(id)
        else this.#tellOf(id, error)
      }
    })
  }

  #tellOf(instance: InstanceId, error: unknown): void {
    if (this.#closing.signal.aborted) return
    this.#options.log.error(
      { instance, error: String(error) },
      'identity of an instance not renewed',
    )
  }

  #background(work: Promise<void>): void {
    const ended = work
      .catch((error: unknown) => this.#tellOf('', error))
      .finally(() => this.#work.delete(ended))
    this.#work.add(ended)
  }
}

function withFolder(spec: InstanceSpec): InstanceSpec {
  return { ...spec, privateFolders: [...(spec.privateFolders ?? []), 'identity'] }
}

const GONE: ReadonlySet<string> = new Set(['NOT_RUNNING', 'NOT_FOUND'])
