import { access, mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const ROOT = '/sys/fs/cgroup'

/** One cgroup in every hierarchy that the host has: a single one (v2), or one for each controller (v1 and hybrid). */
export class Cgroup {
  /** As the kubelet's `cgroupRoot` wants it: below the root of each hierarchy. */
  readonly path: string
  readonly #unified: boolean
  readonly #hierarchies: readonly string[]

  private constructor(path: string, unified: boolean, hierarchies: readonly string[]) {
    this.path = path
    this.#unified = unified
    this.#hierarchies = hierarchies
  }

  /** @param path such as `/fairway-lab-a`; nothing is made yet */
  static async at(path: string): Promise<Cgroup> {
    const unified = await exists(join(ROOT, 'cgroup.controllers'))
    if (unified) return new Cgroup(path, true, [ROOT])
    const entries = await readdir(ROOT, { withFileTypes: true })
    const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
    return new Cgroup(
      path,
      false,
      folders.map((name) => join(ROOT, name)),
    )
  }

  child(name: string): Cgroup {
    return new Cgroup(`${this.path}/${name}`, this.#unified, this.#hierarchies)
  }

  async make(): Promise<void> {
    for (const hierarchy of this.#hierarchies) {
      await mkdir(join(hierarchy, this.path), { recursive: true })
      if (hierarchy.endsWith('/cpuset')) await this.#inheritCpus(hierarchy)
    }
    if (this.#unified) await this.#delegate()
  }

  /** @param bytes for everything below together */
  async limit(bytes: number, processes: number): Promise<void> {
    const memory = this.#unified ? 'memory.max' : 'memory.limit_in_bytes'
    await this.#write('memory', memory, bytes)
    await this.#write('pids', 'pids.max', processes)
  }

  /** Moves a process, and so what it starts later; the tree must be a leaf where the host has cgroup v2. */
  async enter(pid: number): Promise<void> {
    for (const hierarchy of this.#hierarchies) {
      await writeFile(join(hierarchy, this.path, 'cgroup.procs'), String(pid))
    }
  }

  /** Bytes in use by everything below, page cache included. */
  async memoryUsed(): Promise<number> {
    const folder = this.#unified ? ROOT : join(ROOT, 'memory')
    const file = this.#unified ? 'memory.current' : 'memory.usage_in_bytes'
    return Number(await readFile(join(folder, this.path, file), 'utf8'))
  }

  /** Removes it with all below; nothing happens where it is not there. @throws Error where a process still lives in it */
  async remove(): Promise<void> {
    for (const hierarchy of this.#hierarchies) {
      const folder = join(hierarchy, this.path)
      if (await exists(folder)) await removeTree(folder)
    }
  }

  async #write(controller: string, file: string, value: number): Promise<void> {
    const folder = this.#unified ? ROOT : join(ROOT, controller)
    await writeFile(join(folder, this.path, file), String(value))
  }

  /** A cpuset of v1 takes no process before it has CPUs and memory nodes. */
  async #inheritCpus(hierarchy: string): Promise<void> {
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      const parent = join(hierarchy, this.path, '..', file)
      await writeFile(join(hierarchy, this.path, file), await readFile(parent, 'utf8'))
    }
  }

  async #delegate(): Promise<void> {
    const controllers = await readFile(join(ROOT, 'cgroup.controllers'), 'utf8')
    const all = controllers.trim().split(' ')
    let folder = ROOT
    for (const part of this.path.split('/').filter((name) => name !== '')) {
      for (const name of all) {
        await writeFile(join(folder, 'cgroup.subtree_control'), `+${name}`)
      }
      folder = join(folder, part)
    }
  }
}

async function removeTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeTree(join(folder, entry.name))
  }
  await rmdir(folder)
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch {
    return false
  }
}
