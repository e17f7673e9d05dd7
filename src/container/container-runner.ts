import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfExists } from '../lib/atomic-file.ts'
import { FolderWatch } from '../lib/folder-watch.ts'
import type { Log } from '../lib/log.ts'
import { KeyedMutex } from '../lib/mutex.ts'
import { isAlive, signalProcess } from '../lib/process-identity.ts'
import { signalName } from '../lib/signal-name.ts'
import { together } from '../lib/together.ts'
import type { Clock } from '../model/clock.ts'
import {
  requireFolder,
  requireRunning,
  type ExitFacts,
  type FoundInstance,
  type InstanceId,
  type InstanceSpec,
  type Usage,
} from '../model/instance.ts'
import { logFile } from '../model/log-file.ts'
import type { ExecRequest, ExecSession, Runner } from '../model/runner.ts'
import type { InstancePayload, PrivateFolder, PrivateFolderName } from '../model/secrets.ts'
import { Cgroup } from './cgroup.ts'
import { cgroupPath, runFolder, type ContainerHost } from './container-host.ts'
import { endsByDefault } from './default-action.ts'
import { forgetEarlierBoot } from './earlier-boot.ts'
import { execIn } from './exec.ts'
import { InstanceFolder, instanceIds } from './instance-folder.ts'
import { findInstance } from './instance-look.ts'
import { InstanceMaker, type LayerSource, type MadeInstance } from './instance-maker.ts'
import { endLeftovers, untilUndisturbed } from './leftovers.ts'
import { listeningPorts } from './listening-ports.ts'
import { LogRotation } from './log-rotation.ts'
import { Network } from './network.ts'
import { unmount } from './overlay.ts'
import { Prepared } from './prepared.ts'
import { fillPrivate, PrivateFolders } from './private-folders.ts'
import { OciRuntime } from './runtime.ts'
import { checkSpec, startFailure } from './start-failure.ts'
import { DEFAULT_SUBNET, networkName, parseSubnet } from './subnet.ts'

export interface ContainerRunnerOptions {
  readonly dataDir: string
  /** From `detectContainerHost(runFolder(dataDir))`. */
  readonly host: ContainerHost
  readonly images: LayerSource
  readonly logDir: string
  readonly clock: Clock
  readonly log: Log
  /** Private IPv4 network of the instances, /16 to /28; default 10.201.0.0/16. Its first address is the gateway. */
  readonly subnet?: string
  /** Network namespaces kept ready; default 3. */
  readonly spareNetworks?: number
}

type Introduce = (source: string) => Promise<void>
const NOTHING: InstancePayload = { folders: [], env: new Map() }

/** Runs instances as containers; see README.md of this folder for what lies where and what survives what. */
export class ContainerRunner implements Runner {
  readonly name = 'container'
  readonly isolates = true
  readonly flavour = 'image'
  readonly #options: ContainerRunnerOptions
  readonly #runDir: string
  readonly #runtime: OciRuntime
  readonly #exits: FolderWatch
  readonly #logs: LogRotation
  readonly #mutex = new KeyedMutex()
  readonly #starting = new Set<InstanceId>()
  readonly #prepared = new Prepared()
  readonly #maker: InstanceMaker
  readonly network: Network

  constructor(options: ContainerRunnerOptions) {
    this.#options = options
    this.#runDir = runFolder(options.dataDir)
    this.#runtime = new OciRuntime(options.host, this.#runDir)
    this.#exits = new FolderWatch(join(this.#runDir, 'exits'), { log: options.log })
    this.#logs = new LogRotation({ log: options.log })
    const subnet = parseSubnet(options.subnet ?? DEFAULT_SUBNET)
    this.network = new Network({
      name: networkName(subnet),
      subnet,
      spare: options.spareNetworks ?? 3,
      runDir: this.#runDir,
      ip: options.host.ip,
      nft: options.host.nft,
      cniDir: options.host.cniDir,
      log: options.log,
    })
    const [runDir, runtime, network] = [this.#runDir, this.#runtime, this.network]
    const logMaxBytes = this.#logs.hardLimit
    this.#maker = new InstanceMaker({ ...options, runDir, runtime, network, logMaxBytes })
  }

  async open(): Promise<void> {
    await forgetEarlierBoot(this.#runDir)
    await mkdir(join(this.#runDir, 'exits'), { recursive: true, mode: 0o711 })
    await mkdir(join(this.#options.dataDir, 'instances'), { recursive: true, mode: 0o700 })
    await this.network.open()
    this.#exits.open()
    for (const id of await this.#ids()) {
      const folder = this.#folder(id)
      if ((await folder.spec()) === null) await this.#clean(folder)
    }
    for (const found of await this.list()) {
      if (found.state === 'running')
        this.#logs.watch(found.spec, this.#options.logDir, this.#folder(found.spec.id))
    }
  }

  async start(
    spec: InstanceSpec,
    introduce: Introduce = () => Promise.resolve(),
    payload: InstancePayload | Promise<InstancePayload> = NOTHING,
  ): Promise<FoundInstance> {
    checkSpec(spec)
    const given = Promise.resolve(payload)
    // Told where it is waited for, if the start gets so far.
    given.catch(() => undefined)
    return await this.#mutex.run(spec.id, async () => {
      const folder = this.#folder(spec.id)
      const existing = await this.#startedBefore(folder)
      if (existing !== null) return existing
      this.#starting.add(spec.id)
      try {
        return await this.#start(spec, folder, { introduce, payload: given })
      } catch (error) {
        await this.#clean(folder)
        throw startFailure(error, spec)
      } finally {
        this.#starting.delete(spec.id)
      }
    })
  }

  async prepare(spec: InstanceSpec): Promise<string> {
    checkSpec(spec)
    this.#prepared.begin(spec)
    return await this.#mutex.run(spec.id, async () => {
      const folder = this.#folder(spec.id)
      try {
        await folder.createRun()
        const made = await this.#maker.make(spec, folder, {
          privateEnv: NOTHING.env,
          beside: () => Promise.resolve(),
        })
        this.#prepared.done(spec.id, made)
        return made.lease.address
      } catch (error) {
        await this.#discard(folder)
        throw startFailure(error, spec)
      }
    })
  }

  async list(): Promise<readonly FoundInstance[]> {
    const ids = (await this.#ids()).filter((id) => !this.#starting.has(id))
    const found = await Promise.all(ids.map((id) => this.#find(this.#folder(id))))
    return found.filter((instance) => instance !== null)
  }

  async waitForExit(id: InstanceId, signal?: AbortSignal): Promise<ExitFacts | null> {
    const folder = this.#folder(id)
    return await this.#exits.until(signal, async () => {
      if (this.#starting.has(id)) return { done: false, value: null }
      const found = await this.#find(folder)
      return { done: found?.state !== 'running', value: found?.exit ?? null }
    })
  }

  async stop(id: InstanceId, options: { signal: string; graceMs: number }): Promise<void> {
    const folder = this.#folder(id)
    const record = await folder.record()
    if (record === null) {
      await this.#mutex.run(id, async () => {
        if ((await folder.spec()) !== null) await this.#kill(folder)
      })
      return
    }
    const signal = signalName(options.signal)
    if (!record.hasInit && (await endsByDefault(record.process.pid, signal))) {
      await folder.saveStopSignal(signal)
      await signalProcess(record.process, 'SIGKILL')
    } else if (await signalProcess(record.process, signal)) {
      const late = AbortSignal.timeout(Math.max(1, options.graceMs))
      try {
        await this.waitForExit(id, late)
        return
      } catch (error) {
        if (!late.aborted) throw error
      }
      await signalProcess(record.process, 'SIGKILL')
    }
    await this.waitForExit(id)
  }

  async remove(id: InstanceId): Promise<void> {
    await this.#mutex.run(id, async () => {
      this.#logs.forget(id)
      await this.#discard(this.#folder(id))
    })
  }

  async place(id: InstanceId, folder: PrivateFolder): Promise<void> {
    await this.#mutex.run(id, async () => {
      requireFolder(await this.#running(id), folder.name)
      await new PrivateFolders(this.#folder(id).private).swap(folder)
    })
  }

  async signal(id: InstanceId, signal: NodeJS.Signals): Promise<void> {
    await this.#running(id)
    const record = await this.#folder(id).record()
    if (record !== null) await signalProcess(record.process, signal)
  }

  async privatePath(id: InstanceId, name: PrivateFolderName): Promise<string | null> {
    const found = await this.#find(this.#folder(id))
    if (found?.state !== 'running' || found.spec.privateFolders?.includes(name) !== true)
      return null
    return new PrivateFolders(this.#folder(id).private).folder(name)
  }

  async exec(id: InstanceId, request: ExecRequest): Promise<ExecSession> {
    const folder = this.#folder(id)
    await this.#running(id)
    return await execIn({ folder, request, runtime: this.#runtime, clock: this.#options.clock })
  }

  async usage(id: InstanceId): Promise<Usage | null> {
    const record = await this.#folder(id).record()
    if (record === null || !(await isAlive(record.process))) return null
    return await this.#cgroup(id).usage()
  }

  async listeningPorts(id: InstanceId): Promise<readonly number[]> {
    const record = await this.#folder(id).record()
    if (record === null || !(await isAlive(record.process))) return []
    return await listeningPorts(record.process.pid)
  }

  async close(): Promise<void> {
    this.#exits.close()
    this.#logs.close()
    const discard = (id: InstanceId): Promise<void> => this.#discard(this.#folder(id))
    await together(this.#prepared.ids.map((id) => this.#mutex.run(id, () => discard(id))))
    await this.network.close()
  }

  /** Removes every instance, the network and all traces outside the data directory: for `destroy --all` and tests. */
  async teardown(): Promise<void> {
    for (const id of await this.#ids()) await this.remove(id)
    await this.close()
    await this.network.teardown()
    await new Cgroup(this.#options.host.cgroups, cgroupPath(this.#runDir)).remove()
    await rm(this.#runDir, { recursive: true, force: true })
  }

  async #start(
    spec: InstanceSpec,
    folder: InstanceFolder,
    given: { readonly introduce: Introduce; readonly payload: Promise<InstancePayload> },
  ): Promise<FoundInstance> {
    const made = await this.#made(spec, folder, given)
    const { startedAt, port } = await this.#maker.run(folder, made)
    this.#logs.watch(spec, this.#options.logDir, folder)
    const source = made.lease.address
    const address = port === null ? null : { host: source, port }
    return { spec, state: 'running', address, source, startedAt, exit: null }
  }

  /** Takes the container that was made ahead, or makes one; either way it is introduced and has its files. */
  async #made(
    spec: InstanceSpec,
    folder: InstanceFolder,
    { introduce, payload }: { introduce: Introduce; payload: Promise<InstancePayload> },
  ): Promise<MadeInstance> {
    const furnish = (address: string): Promise<unknown> =>
      together([introduce(address), payload.then((content) => fillPrivate(folder, content))])
    const prepared = this.#prepared.take(spec)
    if (prepared !== null && (await this.#isUsable(prepared, spec))) {
      await together([folder.create(spec), furnish(prepared.lease.address)])
      return prepared
    }
    // What was made of another spec, or is of no use any more.
    if (await folder.isOfThisBoot()) await this.#clean(folder)
    await folder.create(spec)
    const privateEnv = (spec.privateEnv ?? []).length === 0 ? NOTHING.env : (await payload).env
    return await this.#maker.make(spec, folder, {
      privateEnv,
      beside: ({ address }) => furnish(address),
    })
  }

  /** False once it has ended, or its log was tidied away: nobody would see what it writes. */
  async #isUsable({ init }: MadeInstance, spec: InstanceSpec): Promise<boolean> {
    const log = await readIfExists(logFile(this.#options.logDir, spec))
    return log !== null && (await isAlive(init))
  }

  /** As `#clean`; of what never was an instance nothing stays, not even an empty log. */
  async #discard(folder: InstanceFolder): Promise<void> {
    const prepared = this.#prepared.forget(folder.id)
    await this.#clean(folder)
    if (prepared !== null) await rm(logFile(this.#options.logDir, prepared), { force: true })
  }

  async #running(id: InstanceId): Promise<FoundInstance> {
    return requireRunning(await this.#find(this.#folder(id)), id)
  }

  #find(folder: InstanceFolder): Promise<FoundInstance | null> {
    const { clock, host } = this.#options
    const cgroup = this.#cgroup(folder.id)
    const hasInit = host.init !== null
    return findInstance({ folder, cgroup, clock, runtime: this.#runtime, hasInit })
  }

  /** As `#find`; but what an earlier server left of a start that never got as far as the command goes, and null is the answer. */
  async #startedBefore(folder: InstanceFolder): Promise<FoundInstance | null> {
    if ((await folder.spec()) === null) return null
    const recorded = (await folder.record()) !== null
    if (!recorded) await untilUndisturbed(folder.id, this.#options.clock)
    const found = await this.#find(folder)
    if (recorded || found?.exit?.reason !== 'unknown' || !(await folder.isOfThisBoot()))
      return found
    if ((await this.#runtime.status(folder.id)) === 'stopped') return found
    await this.#clean(folder)
    return null
  }

  /** Only ever called once nothing else works on the instance: the key of the mutex is its id. */
  async #kill(folder: InstanceFolder): Promise<void> {
    await endLeftovers(folder, this.#options.clock)
    await this.#runtime.delete(folder.id)
  }

  /** Idempotent, in the order of dependence; every step finds what it needs without any record of the steps before. */
  async #clean(folder: InstanceFolder): Promise<void> {
    await this.#kill(folder)
    await endLeftovers(folder, this.#options.clock)
    await Promise.all([
      this.#cgroup(folder.id).remove(),
      unmount(folder.rootfs),
      unmount(folder.private),
      this.network.release(folder.lease),
    ])
    await folder.delete()
  }

  #cgroup(id: InstanceId): Cgroup {
    return new Cgroup(this.#options.host.cgroups, cgroupPath(this.#runDir, id))
  }

  #folder(id: InstanceId): InstanceFolder {
    return new InstanceFolder({ dataDir: this.#options.dataDir, runDir: this.#runDir, id })
  }

  async #ids(): Promise<readonly InstanceId[]> {
    const ids = [
      ...(await instanceIds(this.#options.dataDir)),
      ...(await instanceIds(this.#runDir)),
    ]
    return [...new Set(ids)]
  }
}
