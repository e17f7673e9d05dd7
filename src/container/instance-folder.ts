import { access, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing, readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import type { ProcessIdentity } from '../lib/process-identity.ts'
import type { ExitFacts, InstanceId, InstanceSpec } from '../model/instance.ts'
import type { Lease } from './network.ts'

/** Written once the process really runs; its absence means that a start was cut off. */
export interface RunRecord {
  readonly process: ProcessIdentity
  readonly startedAt: number
  readonly port: number | null
  /** Whether its pid 1 is our init and not the app itself. */
  readonly hasInit: boolean
}

/**
 * Where everything of one instance lies. In the data directory: spec, record and exit, for the next server and the next boot.
 * In the run directory, gone with a reboot as are the things it names: bundle, root filesystem, network lease.
 */
export class InstanceFolder {
  readonly id: InstanceId
  readonly data: string
  readonly run: string
  readonly #exits: string

  constructor(options: { dataDir: string; runDir: string; id: InstanceId }) {
    this.id = options.id
    this.data = join(options.dataDir, 'instances', options.id)
    this.run = join(options.runDir, 'instances', options.id)
    this.#exits = join(options.runDir, 'exits')
  }

  get bundle(): string {
    return join(this.run, 'bundle')
  }
  get rootfs(): string {
    return join(this.run, 'root')
  }
  /** A file system in memory, where the instance has anything private. */
  get private(): string {
    return join(this.run, 'private')
  }
  get lease(): string {
    return join(this.run, 'lease.json')
  }
  get conmonPid(): string {
    return join(this.run, 'conmon.pid')
  }
  get containerPid(): string {
    return join(this.run, 'container.pid')
  }
  /** Where conmon writes the exit code, atomically. */
  get exitDir(): string {
    return this.#exits
  }

  async create(spec: InstanceSpec): Promise<void> {
    await Promise.all([mkdir(this.data, { recursive: true, mode: 0o700 }), this.createRun()])
    await this.#write('spec.json', spec)
  }

  /** Only what ends with the boot: without a spec it is no instance, and the next server removes it. */
  async createRun(): Promise<void> {
    await mkdir(this.bundle, { recursive: true, mode: 0o711 })
  }

  /** Null where there is no such instance, or where its start was cut off before anything of it existed. */
  async spec(): Promise<InstanceSpec | null> {
    return await this.#read<InstanceSpec>('spec.json')
  }

  async record(): Promise<RunRecord | null> {
    return await this.#read<RunRecord>('record.json')
  }

  async saveRecord(record: RunRecord): Promise<void> {
    await this.#write('record.json', record)
  }

  /** The exit as judged once; later looks must not depend on cgroups that may be gone. */
  async exit(): Promise<ExitFacts | null> {
    return await this.#read<ExitFacts>('exit.json')
  }

  async saveExit(exit: ExitFacts): Promise<void> {
    await this.#write('exit.json', exit)
  }

  /** Exit code as conmon wrote it: 128 + signal where a signal ended the process. Null before the end. */
  async exitCode(): Promise<number | null> {
    const text = await readIfExists(join(this.#exits, this.id))
    return text === null || text.trim() === '' ? null : Number(text)
  }

  /** The signal whose default action a stop carried out by SIGKILL, because pid 1 of a namespace ignores defaults. */
  async stopSignal(): Promise<string | null> {
    return await readIfExists(join(this.run, 'stop-signal'))
  }

  async saveStopSignal(signal: string): Promise<void> {
    await writeAtomically(join(this.run, 'stop-signal'), signal, { durable: false })
  }

  async leased(): Promise<Lease | null> {
    const text = await readIfExists(this.lease)
    return text === null ? null : (JSON.parse(text) as Lease)
  }

  async pid(file: string): Promise<number | null> {
    const text = await readIfExists(file)
    return text === null || text.trim() === '' ? null : Number(text)
  }

  /** False once a reboot has taken what could tell whether its command ever ran. */
  async isOfThisBoot(): Promise<boolean> {
    return await access(this.run).then(
      () => true,
      () => false,
    )
  }

  /** Last step of a removal: the data folder goes last, so that a cut off removal is listed and repeated. */
  async delete(): Promise<void> {
    await rm(this.run, { recursive: true, force: true })
    await rm(join(this.#exits, this.id), { force: true })
    // Again where a look at the instance wrote how it ended meanwhile.
    await rm(this.data, { recursive: true, force: true, maxRetries: 10, retryDelay: 5 })
  }

  async #write(name: string, value: unknown): Promise<void> {
    await writeAtomically(join(this.data, name), JSON.stringify(value), { durable: false })
  }

  async #read<T>(name: string): Promise<T | null> {
    const text = await readIfExists(join(this.data, name))
    return text === null ? null : (JSON.parse(text) as T)
  }
}

/** Ids of every instance folder under `parent`, finished or not. */
export async function instanceIds(parent: string): Promise<readonly InstanceId[]> {
  try {
    return await readdir(join(parent, 'instances'))
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}
