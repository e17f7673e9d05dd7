import { readdir, readlink } from 'node:fs/promises'
import { isMissing } from '../lib/atomic-file.ts'
import { readProc } from '../lib/process-identity.ts'
import { processTable, type ProcessRow } from '../lib/process-table.ts'
import type { Usage } from '../model/instance.ts'

/** proc(5): times of /proc/<pid>/stat count in USER_HZ, which is 100 on every architecture that matters here. */
const TICKS = 100

/** Sum over an instance's processes: on Linux also those that left its group; null where the system does not tell. */
export async function usageOf(main: number, workers: readonly number[]): Promise<Usage | null> {
  if (process.platform !== 'linux') return groupUsage(main, await processTable())
  const pids = workers.length === 0 ? [main] : workers
  let memoryBytes = 0
  let cpuSeconds = 0
  let alive = 0
  for (const pid of pids) {
    const stat = await readProc(pid, 'stat')
    const status = await readProc(pid, 'status')
    if (stat === null || status === null) continue
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    cpuSeconds += (Number(fields[11]) + Number(fields[12])) / TICKS
    memoryBytes += Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
    alive++
  }
  return alive === 0 ? null : { memoryBytes, memoryLimitBytes: null, cpuSeconds, pids: alive }
}

/** The same of everything in the main process' group. */
export function groupUsage(main: number, rows: readonly ProcessRow[]): Usage | null {
  const own = rows.filter(({ group }) => group === main)
  if (own.length === 0) return null
  return {
    memoryBytes: own.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0),
    memoryLimitBytes: null,
    cpuSeconds: own.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    pids: own.length,
  }
}

/** TCP ports on which one of the processes listens, ascending. Linux only; empty elsewhere. */
export async function portsOf(pids: readonly number[]): Promise<readonly number[]> {
  const sockets = new Set((await Promise.all(pids.map(socketsOf))).flat())
  const ports = new Set<number>()
  for (const pid of pids.slice(0, 1)) {
    for (const file of ['net/tcp', 'net/tcp6']) {
      for (const line of ((await readProc(pid, file)) ?? '').split('\n').slice(1)) {
        const fields = line.trim().split(/\s+/)
        const listens = fields[3] === '0A' && sockets.has(fields[9] ?? '')
        if (listens) ports.add(Number.parseInt(fields[1]?.split(':')[1] ?? '', 16))
      }
    }
  }
  return [...ports].sort((a, b) => a - b)
}

/** Inodes of a process' sockets. */
async function socketsOf(pid: number): Promise<string[]> {
  const folder = `/proc/${String(pid)}/fd`
  const found: string[] = []
  try {
    for (const name of await readdir(folder)) {
      const target = await readlink(`${folder}/${name}`)
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1]
      if (inode !== undefined) found.push(inode)
    }
  } catch (error) {
    // It ended, or closed the file, meanwhile.
    if (!isMissing(error)) throw error
  }
  return found
}
