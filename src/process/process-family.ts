import { basename } from 'node:path'
import { identify, listPids, readProc, signalProcess } from '../lib/process-identity.ts'

/** In the environment of everything that an instance starts, so that children which left its group are still found. */
export const MARKER = 'FAIRWAY_INSTANCE'

/** Every process that belongs to an instance, the shim included. Linux only; elsewhere the group has to do. */
export async function familyOf(id: string): Promise<readonly number[]> {
  const found: number[] = []
  for (const pid of await listPids()) {
    try {
      const environment = await readProc(pid, 'environ')
      if (environment?.split('\0').includes(`${MARKER}=${id}`) === true) found.push(pid)
    } catch (error) {
      // Another user's process is none of ours.
      if (!isDenied(error)) throw error
    }
  }
  return found
}

/** Kills until nothing is left: a process may start another between the look and the kill. */
export async function killFamily(id: string): Promise<void> {
  for (let round = 0; round < 50; round++) {
    let left = 0
    for (const pid of await familyOf(id)) {
      const identity = await identify(pid)
      if (identity === null || pid === process.pid) continue
      left++
      await signalProcess(identity, 'SIGKILL')
    }
    if (left === 0) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** The family without the shim, which is the platform's. */
export async function workersOf(id: string, shim: number): Promise<readonly number[]> {
  return (await familyOf(id)).filter((pid) => pid !== shim)
}

export function programName(argv: readonly string[]): string {
  return basename(argv[0] ?? '')
}

function isDenied(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EACCES'
}
