import { access, mkdir, open, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { z } from 'zod'
import { minimalEnv, run, start } from '../../src/lib/process.ts'
import { isAlive, signalProcess, type ProcessIdentity } from '../../src/lib/process-identity.ts'
import { addressesOf } from './addresses.ts'
import { build, BUILDS } from './builds.ts'
import { Cgroup } from './cgroup.ts'
import { writeImageArchive } from './image-archive.ts'
import { lacksInotify } from './inotify.ts'
import { LabFolder, type LabRecord, type LabSettings, type NodeRecord } from './lab-folder.ts'
import { writeTrustedRegistry } from './node.ts'
import { importOnNode } from './node-image.ts'
import { missingPackages } from './packages.ts'
import { waitFor, waitUntil } from './wait.ts'

export interface LabOptions {
  /** The lab ends when this process does, however that was; null = it lives until it is taken down. */
  readonly owner: ProcessIdentity | null
  readonly nodes: number
  /** Bytes that everything in the lab may use together. */
  readonly memory: number
  /** `host:port` of a registry, as this host reaches it; nodes find it as 127.0.0.1:5000. */
  readonly registry: string | null
  /** Where builds are kept. */
  readonly cache: string
}

export interface LabState {
  readonly record: LabRecord
  readonly isAlive: boolean
  /** Bytes, page cache included. */
  readonly memory: number
}

const componentStates = z.array(
  z.object({ name: z.string(), isRunning: z.boolean(), restarts: z.number() }),
)
export type ComponentState = Readonly<z.infer<typeof componentStates>[number]>

/** A cluster of its own on this machine, kept by a supervisor process; every object of this class with the same folder speaks of the same lab. */
export class Lab {
  readonly #folder: LabFolder

  /** @param root see `labsFolder` */
  constructor(root: string, name: string) {
    this.#folder = new LabFolder(root, name)
  }

  /** Folders with what the cluster keeps of objects, and what its programs and pods said. */
  get written(): readonly string[] {
    return ['etcd', 'logs', 'nodes/node1/log'].map((name) => this.#folder.at(name))
  }

  /** Brings it up, or waits until the running one is ready. @throws Error with the reason and where its logs are */
  async up(options: LabOptions, say: (line: string) => void): Promise<LabRecord> {
    const state = await this.state()
    if (state?.isAlive !== true) {
      const missing = (await missingPackages()) ?? (await lacksInotify(options.nodes))
      if (missing !== null) throw new Error(missing)
      if (state !== null) await this.down()
      const settings = await prepare(this.#folder.name, options, say)
      if (await this.#take()) {
        await this.#folder.writeSettings(settings)
        await this.#startSupervisor()
      }
    } else say(`lab ${this.#folder.name} runs already, as it was first asked for`)
    return this.#waitUntilReady(say)
  }

  /** Null where it is not there. */
  async state(): Promise<LabState | null> {
    const record = await this.#folder.record()
    if (record === null) return null
    const alive = await isAlive(record.supervisor)
    const cgroup = await Cgroup.at(this.#folder.cgroup)
    return { record, isAlive: alive, memory: alive ? await cgroup.memoryUsed().catch(() => 0) : 0 }
  }

  /** Ends everything and removes what it kept, also of one whose supervisor was killed; the build cache stays. */
  async down(): Promise<void> {
    const record = await this.#folder.record()
    if (record !== null) {
      await signalProcess(record.supervisor, 'SIGTERM')
      const isGone = async (): Promise<boolean> => !(await isAlive(record.supervisor))
      await waitUntil('supervisor ended', 15_000, isGone).catch(() =>
        signalProcess(record.supervisor, 'SIGKILL'),
      )
      await waitUntil('supervisor ended', 30_000, isGone)
    }
    const cgroup = await Cgroup.at(this.#folder.cgroup)
    // The kernel empties a cgroup a moment after its last process.
    await waitUntil(`${this.#folder.cgroup} is empty`, 60_000, () => removed(cgroup))
    if (typeof record?.index === 'number') await removeLink(addressesOf(record.index).device)
    await rm(this.#folder.path, { recursive: true, force: true })
  }

  async importImage(source: string, name?: string): Promise<void> {
    for (const { pid } of await this.#nodes()) await importOnNode(pid, source, name)
  }

  /** What nodes find as 127.0.0.1:5000 from now on. */
  async setRegistry(target: string | null): Promise<void> {
    await this.#order('/registry', { target })
  }

  /** Nodes pull from a registry with TLS. @param name `host:port` of its images @param authority PEM; who signed its certificate */
  async trustRegistry(name: string, authority: string): Promise<void> {
    await writeTrustedRegistry(this.#folder.path, name, authority)
  }

  /** @param name such as `kube-apiserver` or `node1/kubelet` */
  async component(name: string, action: 'stop' | 'start' | 'restart' | 'kill'): Promise<void> {
    await this.#order('/component', { name, action })
  }

  async components(): Promise<readonly ComponentState[]> {
    return componentStates.parse(JSON.parse(await this.#order('/components', null)))
  }

  async #nodes(): Promise<readonly NodeRecord[]> {
    const state = await this.state()
    if (state?.isAlive === true) return state.record.nodes
    throw new Error(`no lab ${this.#folder.name} runs`)
  }

  /** False where someone else brings it up at this very moment. */
  async #take(): Promise<boolean> {
    await mkdir(join(this.#folder.path, '..'), { recursive: true, mode: 0o700 })
    try {
      await mkdir(this.#folder.path, { mode: 0o700 })
      return true
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    }
    const isThere = async (): Promise<boolean> => (await this.#folder.record()) !== null
    await waitUntil(
      `${this.#folder.path} has a supervisor (else take the lab down)`,
      90_000,
      isThere,
    )
    return false
  }

  async #startSupervisor(): Promise<void> {
    const log = await open(this.#folder.at('supervisor.log'), 'a', 0o600)
    const script = join(import.meta.dirname, 'supervisor.ts')
    const root = join(this.#folder.path, '..')
    try {
      const child = await start(process.execPath, [script, root, this.#folder.name], {
        env: minimalEnv(),
        stdio: ['ignore', log.fd, log.fd],
        detached: true,
      })
      child.unref()
      await waitUntil('supervisor started', 60_000, async () => {
        if (child.exitCode !== null) throw new Error(await this.#why('supervisor ended'))
        return (await this.#folder.record()) !== null
      })
    } finally {
      await log.close()
    }
  }

  async #waitUntilReady(say: (line: string) => void): Promise<LabRecord> {
    let told = 0
    return waitFor(`lab ${this.#folder.name} ready`, 900_000, async () => {
      const state = await this.state()
      for (const { name, ms } of state?.record.steps.slice(told) ?? []) {
        say(`${name}: ${(ms / 1000).toFixed(1)} s`)
        told++
      }
      if (state === null || !state.isAlive || state.record.phase === 'failed') {
        throw new Error(await this.#why(state?.record.message ?? 'supervisor ended'))
      }
      return state.record.phase === 'ready' ? state.record : null
    })
  }

  async #why(message: string): Promise<string> {
    const log = this.#folder.at('supervisor.log')
    const said = await run('tail', ['-n', '5', log]).catch(() => '')
    return `${message}\n${said}logs: ${log}, ${this.#folder.at('logs')}`
  }

  #order(path: string, body: object | null): Promise<string> {
    return new Promise((resolve, reject) => {
      const asked = request(
        { socketPath: this.#folder.socket, path, method: 'POST' },
        (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString()
            if (response.statusCode === 200) resolve(text)
            else reject(new Error(text))
          })
        },
      )
      asked.on('error', reject)
      asked.end(body === null ? '' : JSON.stringify(body))
    })
  }
}

/** Builds what is not in the cache. */
async function prepare(
  name: string,
  { owner, cache, nodes, memory, registry }: LabOptions,
  say: (line: string) => void,
): Promise<LabSettings> {
  const { folder: kubernetes } = await build(BUILDS.kubernetes, cache, say)
  const images: Record<string, string> = {}
  for (const [key, wanted] of Object.entries({
    pause: BUILDS.pause,
    coredns: BUILDS.coredns,
    metricsServer: BUILDS.metricsServer,
  })) {
    const { folder, version } = await build(wanted, cache, say)
    const tag = version === '0' ? '1' : version
    const archive = join(folder, `${wanted.module}-${tag}.tar`)
    images[key] = archive
    if (await isThere(archive)) continue
    await writeImageArchive(archive, {
      reference: `fairway.test/${wanted.module}:${tag}`,
      files: { [wanted.module]: join(folder, wanted.module) },
      entrypoint: [`/${wanted.module}`],
    })
  }
  return { name, owner, nodes, memory, registry, cache, kubernetes, images }
}

async function removed(cgroup: Cgroup): Promise<boolean> {
  try {
    await cgroup.remove()
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EBUSY') return false
    throw error
  }
}

/** The link goes with the lab's namespace, a moment later. */
async function removeLink(device: string): Promise<void> {
  await run('ip', ['link', 'delete', device]).catch((error: unknown) => {
    if (!String(error).includes('Cannot find device')) throw error
  })
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch {
    return false
  }
}
