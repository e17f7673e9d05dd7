import { DatabaseSync } from 'node:sqlite'
import { setTimeout as wait } from 'node:timers/promises'
import { FairwayError } from '../model/errors.ts'

const POLL_MS = 50

/**
 * Runs `task` while no other process of this machine runs one under the same lock file; waits its turn. The lock is SQLite's exclusive
 * lock, which the kernel drops when its holder ends, however it ends.
 * @throws FairwayError CONFLICT where the turn does not come within `timeoutMs`
 */
export async function oneAtATime<T>(
  lockFile: string,
  timeoutMs: number,
  task: () => Promise<T>,
): Promise<T> {
  const database = new DatabaseSync(lockFile)
  try {
    database.exec('pragma busy_timeout = 0')
    const deadline = performance.now() + timeoutMs
    while (!tryLock(database)) {
      if (performance.now() > deadline) {
        throw new FairwayError('CONFLICT', 'another `fairway up` or `down` is still at work', {
          hint: 'Wait until it has ended, then try again.',
        })
      }
      await wait(POLL_MS)
    }
    return await task()
  } finally {
    database.close()
  }
}

function tryLock(database: DatabaseSync): boolean {
  try {
    database.exec('begin exclusive')
    return true
  } catch (error) {
    // SQLITE_BUSY is 5; extended codes keep it in the low byte.
    const busy =
      error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === 5
    if (busy) return false
    throw error
  }
}
