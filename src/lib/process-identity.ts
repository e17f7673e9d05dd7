import { readFile, readdir } from 'node:fs/promises'
import { isMissing } from './atomic-file.ts'
import { runToEnd } from './process.ts'

/** A process that can be recognised later: a pid alone may have been given to another program. */
export interface ProcessIdentity {
  readonly pid: number
  /** Opaque; differs between two processes that had the same pid, also across reboots. */
  readonly startedAs: string
}

/** Null where no process has this pid, or it has ended and only waits for its parent. */
export async function identify(pid: number): Promise<ProcessIdentity | null> {
  if (!Number.isSafeInteger(pid) || pid <= 0) return null
  const startedAs = process.platform === 'linux' ? await onLinux(pid) : await byPs(pid)
  return startedAs === null ? null : { pid, startedAs }
}

/** True while exactly this process lives. */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  return (await identify(identity.pid))?.startedAs === identity.startedAs
}

/** Signals exactly this process (its whole group with `group`); false where it is gone. */
export async function signalProcess(
  identity: ProcessIdentity,
  signal: NodeJS.Signals,
  options: { readonly group?: boolean } = {},
): Promise<boolean> {
  if (!(await isAlive(identity))) return false
  try {
    process.kill(options.group === true ? -identity.pid : identity.pid, signal)
    return true
  } catch (error) {
    if (isGone(error)) return false
    // macOS says this of a group whose last members only wait for their parent.
    if (hasCode(error, 'EPERM') && !(await isAlive(identity))) return false
    throw error
  }
}

/** Pids of every process of the host (Linux only; empty elsewhere). */
export async function listPids(): Promise<readonly number[]> {
  if (process.platform !== 'linux') return []
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
}

/** A file of /proc/<pid>, or null where the process went away meanwhile. */
export async function readProc(pid: number, file: string): Promise<string | null> {
  try {
    return await readFile(`/proc/${String(pid)}/${file}`, 'utf8')
  } catch (error) {
    if (isMissing(error) || isGone(error)) return null
    throw error
  }
}

/** Changes with every boot of the host. */
export async function bootId(): Promise<string> {
  if (process.platform !== 'linux') return 'none'
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
}

function isGone(error: unknown): boolean {
  return hasCode(error, 'ESRCH')
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

/** proc(5): field 3 is the state, field 22 the start time in ticks since boot; the name (field 2) may hold spaces and brackets. */
async function onLinux(pid: number): Promise<string | null> {
  const stat = await readProc(pid, 'stat')
  if (stat === null) return null
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (fields[0] === 'Z' || fields[0] === 'X') return null
  return `${fields[19] ?? ''}@${await bootId()}`
}

async function byPs(pid: number): Promise<string | null> {
  const result = await runToEnd('ps', ['-o', 'stat=,lstart=', '-p', String(pid)])
  const [state = '', ...start] = result.stdout.trim().split(/\s+/)
  return result.code !== 0 || state.startsWith('Z') ? null : start.join(' ')
}
