import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing, readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import type { ProcessIdentity } from '../lib/process-identity.ts'
import type { ExitFacts, InstanceId, InstanceSpec } from '../model/instance.ts'

/** What the shim needs to start the command; the values of the environment are why the folder is for its owner alone. */
export interface Launch {
  readonly id: InstanceId
  readonly argv: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly logFile: string
  readonly logMaxBytes: number
  readonly logKeep: number
  /** File in memory with variables that are not written here; absent = none. */
  readonly envFile?: string
  /** Line of the platform with which the log begins. */
  readonly notice: string
}

export interface KnownProcess {
  readonly spec: InstanceSpec
  /** Where it listens. */
  readonly port: number | null
  /** Port of the loopback listener by which it calls others; missing where nobody was told of it. */
  readonly door?: number | null
}

/** Written by the shim once the command runs. */
export interface Running {
  /** Null where it ended before anyone could ask for its start time. */
  readonly process: ProcessIdentity | null
  readonly shim: ProcessIdentity
  readonly startedAt: number
}

/** `<data>/processes/<id>`: spec.json and launch.json of the server, running.json of the shim; exits lie together in `exits`. */
export class ProcessFolder {
  readonly id: InstanceId
  readonly path: string
  readonly #exits: string

  constructor(dataDir: string, id: InstanceId) {
    this.id = id
    this.path = join(dataDir, 'processes', id)
    this.#exits = join(dataDir, 'exits')
  }

  /** TMPDIR and HOME of the instance. */
  get temporary(): string {
    return join(this.path, 'tmp')
  }

  async create(known: KnownProcess, launch: Launch): Promise<void> {
    await mkdir(this.temporary, { recursive: true, mode: 0o700 })
    await this.#write('launch.json', launch)
    await this.#write('spec.json', known)
  }

  async spec(): Promise<KnownProcess | null> {
    return await read(join(this.path, 'spec.json'))
  }

  async launch(): Promise<Launch | null> {
    return await read(join(this.path, 'launch.json'))
  }

  async running(): Promise<Running | null> {
    return await read(join(this.path, 'running.json'))
  }

  async saveRunning(running: Running): Promise<void> {
    await this.#write('running.json', running)
  }

  async exit(): Promise<ExitFacts | null> {
    return await read(join(this.#exits, `${this.id}.json`))
  }

  async saveExit(exit: ExitFacts): Promise<void> {
    await mkdir(this.#exits, { recursive: true, mode: 0o700 })
    await writeAtomically(join(this.#exits, `${this.id}.json`), JSON.stringify(exit))
  }

  /** From here on a shim that is only just starting finds nothing, and ends. */
  async retire(): Promise<void> {
    try {
      await rename(this.path, `${this.path}.removed`)
    } catch (error) {
      if (!isMissing(error)) throw error
    }
  }

  async delete(): Promise<void> {
    await rm(join(this.#exits, `${this.id}.json`), { force: true })
    await rm(`${this.path}.removed`, { recursive: true, force: true })
    await rm(this.path, { recursive: true, force: true })
  }

  async #write(name: string, value: unknown): Promise<void> {
    await writeAtomically(join(this.path, name), JSON.stringify(value), { durable: false })
  }
}

/** Ids of every folder, also of those whose start or removal was cut off. */
export async function processIds(dataDir: string): Promise<readonly InstanceId[]> {
  try {
    const names = await readdir(join(dataDir, 'processes'))
    return [...new Set(names.map((name) => name.replace(/\.removed$/, '')))]
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

/** The whole environment of an instance, with what lies in memory. */
export async function launchEnv(launch: Launch): Promise<Readonly<Record<string, string>>> {
  if (launch.envFile === undefined) return launch.env
  const text = await readIfExists(launch.envFile)
  if (text === null) throw new Error('the variables of the instance are gone from memory')
  return { ...launch.env, ...(JSON.parse(text) as Record<string, string>) }
}

async function read<T>(file: string): Promise<T | null> {
  const text = await readIfExists(file)
  return text === null ? null : (JSON.parse(text) as T)
}
