import { setPriority } from 'node:os'
import { readdir, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { isMissing, readIfExists } from '../lib/atomic-file.ts'
import type { Usage } from '../model/instance.ts'

const ROOT = '/sys/fs/cgroup'
/** Two seconds in all. */
const REMOVALS = 200
const REMOVAL_PAUSE_MS = 10

/** The control group of one container, in cgroup v1 or v2. */
export class Cgroup {
  readonly #version: 'v1' | 'v2'
  readonly #path: string

  constructor(version: 'v1' | 'v2', path: string) {
    this.#version = version
    this.#path = path
  }

  /** Null where the group is gone. */
  async usage(): Promise<Usage | null> {
    const [memory, limit, cpu, pids, stat] = await Promise.all(
      this.#version === 'v1'
        ? [
            this.#read('memory', 'memory.usage_in_bytes'),
            this.#read('memory', 'memory.limit_in_bytes'),
            this.#read('cpuacct', 'cpuacct.usage'),
            this.#read('pids', 'pids.current'),
            this.#read('memory', 'memory.stat'),
          ]
        : ['memory.current', 'memory.max', 'cpu.stat', 'pids.current', 'memory.stat'].map((file) =>
            this.#read('', file),
          ),
    )
    if (memory === null || memory === undefined) return null
    // What the kernel gives back at once under pressure is not what the app holds.
    const cached = field(stat, this.#version === 'v1' ? 'total_inactive_file' : 'inactive_file')
    const limitBytes = Number(limit)
    return {
      memoryBytes: Math.max(0, Number(memory) - cached),
      memoryLimitBytes: Number.isSafeInteger(limitBytes) ? limitBytes : null,
      cpuSeconds: this.#version === 'v1' ? Number(cpu) / 1e9 : field(cpu, 'usage_usec') / 1e6,
      pids: Number(pids),
    }
  }

  /** How many processes of the group the kernel killed for want of memory. */
  async oomKills(): Promise<number> {
    return this.#version === 'v1'
      ? field(await this.#read('memory', 'memory.oom_control'), 'oom_kill')
      : field(await this.#read('', 'memory.events'), 'oom_kill')
  }

  /** Lets a host process (the monitor that copies an app's output) use only what is left of the app's own processor share. */
  async charge(pid: number): Promise<void> {
    try {
      setPriority(pid, 5)
      // In v2 a group has all controllers or none, and the monitor's memory must not count.
      if (this.#version === 'v1') {
        await writeFile(join(ROOT, 'cpu', this.#path, 'cgroup.procs'), String(pid))
      }
    } catch (error) {
      if (!isEnded(error)) throw error
    }
  }

  /** Removes what a runtime that was killed half-way left of the group; one with groups of others below it stays. */
  async remove(): Promise<void> {
    const hierarchies = this.#version === 'v1' ? await readdir(ROOT) : ['']
    for (const hierarchy of hierarchies) await removeGroup(join(ROOT, hierarchy, this.#path))
  }

  async #read(controller: string, file: string): Promise<string | null> {
    try {
      return await readIfExists(join(ROOT, controller, this.#path, file))
    } catch (error) {
      // The group went away between open and read.
      if (error instanceof Error && 'code' in error && error.code === 'ENODEV') return null
      throw error
    }
  }
}

/** A process that was killed is in its group until it is reaped, which somebody else may have to do. */
async function removeGroup(folder: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await rmdir(folder)
      return
    } catch (error) {
      if (isMissing(error) || hasCode(error, 'ENOTDIR')) return
      if (!hasCode(error, 'EBUSY')) throw error
    }
    if (attempt === REMOVALS || (await hasGroups(folder))) return
    await setTimeout(REMOVAL_PAUSE_MS)
  }
}

async function hasGroups(folder: string): Promise<boolean> {
  try {
    return (await readdir(folder, { withFileTypes: true })).some((entry) => entry.isDirectory())
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

function field(text: string | null | undefined, name: string): number {
  const line = (text ?? '').split('\n').find((entry) => entry.startsWith(`${name} `))
  return Number(line?.split(' ')[1] ?? 0)
}

function isEnded(error: unknown): boolean {
  return isMissing(error) || hasCode(error, 'ESRCH')
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
