import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { firstLine } from '../lib/first-line.ts'
import { FolderWatch } from '../lib/folder-watch.ts'
import type { Log } from '../lib/log.ts'
import { KeyedMutex } from '../lib/mutex.ts'
import { withPort } from '../lib/port-argument.ts'
import { isAlive, signalProcess, type ProcessIdentity } from '../lib/process-identity.ts'
import { minimalEnv, start } from '../lib/process.ts'
import { signalName } from '../lib/signal-name.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
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
import type { ImageFacts } from '../model/release.ts'
import type { ExecRequest, ExecSession, Runner } from '../model/runner.ts'
import {
  folderVariables,
  type InstancePayload,
  type PrivateFolder,
  type PrivateFolderName,
} from '../model/secrets.ts'
import { execBeside } from './exec.ts'
import { hostCommand } from './host-tree.ts'
import { internalNamesEnv } from './internal-names.ts'
import { MemoryFolder } from './memory-folder.ts'
import { familyOf, killFamily, MARKER, workersOf } from './process-family.ts'
import { DOORS, INSTANCES, isFree, PortChoice } from './port-choice.ts'
import { ProcessFolder, processIds, type KnownProcess, type Launch } from './process-folder.ts'
import { portsOf, usageOf } from './process-usage.ts'

export interface ProcessRunnerOptions {
  readonly dataDir: string
  readonly logDir: string
  /** Folder with the unpacked files of a `host` image; the same image gives the same folder, and instances only read it. */
  readonly rootfs: (image: ImageFacts) => Promise<string>
  readonly clock: Clock
  readonly log: Log
  /** 0 <= x < 1; default Math.random. */
  readonly random?: () => number
  /** Log size at which a file is rotated; default 10 MiB, and 2 older files are kept. */
  readonly logMaxBytes?: number
  /** Folders in memory that may be there; see MemoryFolder. */
  readonly memory?: readonly string[]
}

type Introduce = (source: string) => Promise<void>

/** Says so in the log of every instance that it starts. */
const NOTICE =
  'runner process: this instance is not isolated from the host or from other apps, and its limits are not enforced'

const NOTHING: InstancePayload = { folders: [], env: new Map() }

interface Given {
  readonly port: number | null
  readonly door: number | null
  readonly payload: InstancePayload
}

/** Runs instances as plain processes of the host; see README.md of this folder. */
export class ProcessRunner implements Runner {
  readonly name = 'process'
  readonly isolates = false
  readonly flavour = 'host'
  /** There is little of a process that could be made ahead. */
  readonly prepare = (): Promise<null> => Promise.resolve(null)
  readonly #options: ProcessRunnerOptions
  readonly #exits: FolderWatch
  readonly #mutex = new KeyedMutex()
  readonly #starting = new Set<InstanceId>()
  readonly #ports: PortChoice
  readonly #memory: MemoryFolder
  #noticed = false

  constructor(options: ProcessRunnerOptions) {
    this.#options = options
    this.#exits = new FolderWatch(join(options.dataDir, 'exits'), { log: options.log })
    this.#memory = new MemoryFolder(options.dataDir, options.memory)
    this.#ports = new PortChoice(options.random ?? Math.random)
  }

  async open(): Promise<void> {
    const { dataDir } = this.#options
    for (const name of ['processes', 'exits']) {
      await mkdir(join(dataDir, name), { recursive: true, mode: 0o700 })
    }
    this.#exits.open()
    for (const id of [...(await processIds(dataDir)), ...(await this.#memory.ids())]) {
      if ((await this.#folder(id).spec()) === null) await this.remove(id)
    }
  }

  async start(
    spec: InstanceSpec,
    introduce?: Introduce,
    payload: InstancePayload | Promise<InstancePayload> = NOTHING,
  ): Promise<FoundInstance> {
    return await this.#mutex.run(spec.id, async () => {
      const existing = await this.#startedBefore(spec.id)
      if (existing !== null) return existing
      this.#starting.add(spec.id)
      try {
        return await this.#start(spec, await payload, introduce)
      } catch (error) {
        await this.#clean(spec.id)
        throw translated(error, spec)
      } finally {
        this.#starting.delete(spec.id)
      }
    })
  }

  async list(): Promise<readonly FoundInstance[]> {
    const ids = await processIds(this.#options.dataDir)
    const settled = ids.filter((id) => !this.#starting.has(id))
    const found = await Promise.all(settled.map((id) => this.#find(id)))
    return found.filter((instance) => instance !== null)
  }

  async waitForExit(id: InstanceId, signal?: AbortSignal): Promise<ExitFacts | null> {
    return await this.#exits.until(signal, async () => {
      if (this.#starting.has(id)) return { done: false, value: null }
      const found = await this.#find(id)
      return { done: found?.state !== 'running', value: found?.exit ?? null }
    })
  }

  async stop(id: InstanceId, options: { signal: string; graceMs: number }): Promise<void> {
    const running = await this.#folder(id).running()
    if (running === null) return
    const main = running.process
    if (main !== null && (await signalProcess(main, signalName(options.signal)))) {
      const late = AbortSignal.timeout(Math.max(1, options.graceMs))
      try {
        await this.waitForExit(id, late)
      } catch (error) {
        if (!late.aborted) throw error
        await signalProcess(main, 'SIGKILL', { group: true })
      }
    }
    await this.waitForExit(id)
    if (!(await isAlive(running.shim))) await killFamily(id)
  }

  async remove(id: InstanceId): Promise<void> {
    await this.#mutex.run(id, () => this.#clean(id))
  }

  async place(id: InstanceId, folder: PrivateFolder): Promise<void> {
    await this.#mutex.run(id, async () => {
      requireFolder(requireRunning(await this.#find(id), id), folder.name)
      await this.#memory.swap(id, folder)
    })
  }

  async signal(id: InstanceId, signal: NodeJS.Signals): Promise<void> {
    requireRunning(await this.#find(id), id)
    const process = (await this.#folder(id).running())?.process ?? null
    if (process !== null) await signalProcess(process, signal)
  }

  async privatePath(id: InstanceId, name: PrivateFolderName): Promise<string | null> {
    const found = await this.#find(id)
    if (found?.state !== 'running' || found.spec.privateFolders?.includes(name) !== true)
      return null
    return this.#memory.path(id, name)
  }

  async exec(id: InstanceId, request: ExecRequest): Promise<ExecSession> {
    requireRunning(await this.#find(id), id)
    const launch = await this.#folder(id).launch()
    if (launch === null) throw new FairwayError('NOT_FOUND', `there is no instance ${id}`)
    return await execBeside(launch, request, this.#options.clock)
  }

  async usage(id: InstanceId): Promise<Usage | null> {
    const running = await this.#folder(id).running()
    if (running?.process == null || !(await isAlive(running.process))) return null
    return await usageOf(running.process.pid, await workersOf(id, running.shim.pid))
  }

  async listeningPorts(id: InstanceId): Promise<readonly number[]> {
    const running = await this.#folder(id).running()
    if (running === null) return []
    return await portsOf(await workersOf(id, running.shim.pid))
  }

  close(): Promise<void> {
    this.#exits.close()
    return Promise.resolve()
  }

  async #start(
    spec: InstanceSpec,
    payload: InstancePayload,
    introduce?: Introduce,
  ): Promise<FoundInstance> {
    const { dataDir, clock, log } = this.#options
    const folder = this.#folder(spec.id)
    const port = await this.#choosePort(spec)
    const door = introduce === undefined ? null : await this.#chooseDoor()
    const launch = await this.#launch(spec, folder, { port, door, payload })
    if (!this.#noticed) log.warn({}, NOTICE)
    this.#noticed = true
    await folder.create({ spec, port, door }, launch)
    if (needsMemory(payload)) await this.#memory.create(spec.id, payload)
    if (door !== null) await introduce?.(sourceOf(door))
    const errors = await open(join(folder.path, 'shim.log'), 'a', 0o600)
    try {
      const shim = await start(
        process.execPath,
        [join(import.meta.dirname, 'shim.ts'), dataDir, spec.id],
        {
          env: { ...minimalEnv(), [MARKER]: spec.id },
          stdio: ['ignore', errors.fd, errors.fd, 'pipe'],
          detached: true,
        },
      )
      shim.unref()
      const answer = JSON.parse((await firstLine(shim.stdio[3])) || '{}') as { error?: string }
      if (answer.error !== undefined) {
        throw new FairwayError('INSTANCE_FAILED', `${spec.id} cannot start: ${answer.error}`)
      }
    } finally {
      await errors.close()
    }
    const found = await this.#find(spec.id)
    if (found !== null) return found
    throw new FairwayError('INSTANCE_FAILED', `${spec.id} ended while it started`, {
      details: { at: clock.now() },
    })
  }

  async #launch(
    spec: InstanceSpec,
    folder: ProcessFolder,
    { port, door, payload }: Given,
  ): Promise<Launch> {
    const { rootfs, logDir, logMaxBytes = 10 << 20 } = this.#options
    if (spec.argv.length === 0) {
      throw new FairwayError('INSTANCE_FAILED', `${spec.process} has no command`)
    }
    const minimal = minimalEnv()
    const command = hostCommand(spec, await rootfs(spec.image), {
      path: minimal['PATH'] ?? '/usr/bin:/bin',
      env: {
        LANG: 'C.UTF-8',
        HOME: folder.temporary,
        TMPDIR: folder.temporary,
        ...(port === null ? {} : { PORT: String(port) }),
        ...(door === null ? {} : internalNamesEnv(door, { ...spec.image.env, ...spec.env })),
        ...(await this.#memoryEnv(spec.id, payload)),
        [MARKER]: spec.id,
      },
    })
    const envFile = payload.env.size === 0 ? null : await this.#memory.envFile(spec.id)
    return {
      ...command,
      ...(envFile === null ? {} : { envFile }),
      argv: withPort(command.argv, port),
      id: spec.id,
      logFile: logFile(logDir, spec),
      logMaxBytes,
      logKeep: 2,
      notice: NOTICE,
    }
  }

  async #memoryEnv(id: InstanceId, { folders }: InstancePayload): Promise<Record<string, string>> {
    const paths = folders.map(async ({ name }) => {
      const path = await this.#memory.path(id, name)
      return path === null ? {} : folderVariables(name, path)
    })
    return Object.fromEntries((await Promise.all(paths)).flatMap((each) => Object.entries(each)))
  }

  /** All instances share the host's ports: a fixed one can be used once. */
  async #choosePort(spec: InstanceSpec): Promise<number | null> {
    if (!spec.listens) return null
    if (spec.port !== null) {
      if (await isFree(spec.port)) return spec.port
      throw new FairwayError('INSTANCE_FAILED', `port ${String(spec.port)} of this host is taken`, {
        hint: 'Without containers all instances share the ports of the host: remove `port` and listen on PORT.',
      })
    }
    return this.#ports.choose(INSTANCES, await this.#known((one) => one.port))
  }

  async #chooseDoor(): Promise<number> {
    return this.#ports.choose(DOORS, await this.#known((one) => one.door ?? null))
  }

  /** What instances were given, also those that do not listen just now. */
  async #known(port: (given: KnownProcess) => number | null): Promise<ReadonlySet<number>> {
    const ids = await processIds(this.#options.dataDir)
    const known = await Promise.all(ids.map((id) => this.#folder(id).spec()))
    return new Set(known.flatMap((one) => (one === null ? [] : (port(one) ?? []))))
  }

  async #find(id: InstanceId): Promise<FoundInstance | null> {
    const folder = this.#folder(id)
    const known = await folder.spec()
    if (known === null) return null
    const { spec, port, door = null } = known
    const source = door === null ? null : sourceOf(door)
    const address = port === null ? null : { host: '127.0.0.1', port }
    const running = await folder.running()
    const startedAt = running?.startedAt ?? spec.createdAt
    let exit = await folder.exit()
    if (exit === null && running !== null) {
      if ((await lives(running.process)) || (await lives(running.shim))) {
        return { spec, state: 'running', address, source, startedAt, exit: null }
      }
      exit = await folder.exit()
    }
    exit ??= { code: null, signal: null, reason: 'unknown', at: this.#options.clock.now() }
    return { spec, state: 'exited', address, source, startedAt, exit }
  }

  /** As `#find`; but what an earlier server left of a start that never got as far as the command goes, and null is the answer. */
  async #startedBefore(id: InstanceId): Promise<FoundInstance | null> {
    const folder = this.#folder(id)
    if ((await folder.spec()) === null) return null
    // A shim that the earlier server started may be about to run the command.
    for (let tries = 0; tries < 500 && (await folder.running()) === null; tries++) {
      if ((await familyOf(id)).length === 0) break
      await this.#options.clock.sleep(10)
    }
    if ((await folder.running()) !== null || (await folder.exit()) !== null) return this.#find(id)
    await this.#clean(id)
    return null
  }

  async #clean(id: InstanceId): Promise<void> {
    const folder = this.#folder(id)
    const running = await folder.running()
    await folder.retire()
    if (running !== null) {
      await signalProcess(running.shim, 'SIGKILL')
      if (running.process !== null) {
        await signalProcess(running.process, 'SIGKILL', { group: true })
      }
    }
    await killFamily(id)
    await this.#memory.remove(id)
    await folder.delete()
  }

  #folder(id: InstanceId): ProcessFolder {
    return new ProcessFolder(this.#options.dataDir, id)
  }
}

function needsMemory({ folders, env }: InstancePayload): boolean {
  return folders.length > 0 || env.size > 0
}

/** As the router knows the caller: the address on which it listens for this instance alone. */
function sourceOf(door: number): string {
  return `127.0.0.1:${String(door)}`
}

async function lives(identity: ProcessIdentity | null): Promise<boolean> {
  return identity !== null && (await isAlive(identity))
}

function translated(error: unknown, spec: InstanceSpec): unknown {
  if (error instanceof FairwayError) return error
  const full = error instanceof Error && 'code' in error && error.code === 'ENOSPC'
  const why = error instanceof Error ? error.message : String(error)
  return full
    ? new FairwayError('DISK_FULL', `no space to start ${spec.id}`, { cause: error })
    : new FairwayError('INSTANCE_FAILED', `${spec.id} cannot start: ${why}`, { cause: error })
}
