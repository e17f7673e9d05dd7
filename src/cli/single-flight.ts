import { open, readFile, rm, stat } from 'node:fs/promises'
import { isMissing } from '../lib/missing-file.ts'
import { identify, isAlive } from '../lib/process-identity.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'

export interface SingleFlightOptions<T> {
  /** Path of the lock file: one per result. */
  readonly lock: string
  readonly clock: Clock
  /** What is there already; null = nothing good. */
  readonly find: () => T | null
  /** Makes it and leaves it where `find` looks. */
  readonly make: () => Promise<T>
  readonly waitMs?: number
}

const LOOK_MS = 20
/** Whoever holds a lock for longer hangs. */
const HELD_MS = 90_000
const WAIT_MS = 120_000

/** Of all processes that want the same at the same time one makes it, and the others take what it made. @throws FairwayError TIMEOUT, what `make` throws */
export async function singleFlight<T>(options: SingleFlightOptions<T>): Promise<T> {
  const { lock, clock, find, make, waitMs = WAIT_MS } = options
  const deadline = clock.elapsed() + waitMs
  for (;;) {
    const found = find()
    if (found !== null) return found
    if (await take(lock)) {
      try {
        // Another may have ended between the look and the lock.
        return find() ?? (await make())
      } finally {
        await rm(lock, { force: true })
      }
    }
    if (clock.elapsed() > deadline)
      throw new FairwayError('TIMEOUT', `another process holds ${lock} and does not end`)
    await clock.sleep(LOOK_MS)
  }
}

// Private

/** False where another process holds it. One that ended without giving it back holds nothing. */
async function take(lock: string): Promise<boolean> {
  const me = await identify(process.pid)
  try {
    const file = await open(lock, 'wx', 0o600)
    try {
      await file.writeFile(JSON.stringify(me))
    } finally {
      await file.close()
    }
    return true
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  }
  if (await isAbandoned(lock)) await rm(lock, { force: true })
  return false
}

async function isAbandoned(lock: string): Promise<boolean> {
  try {
    const age = Date.now() - (await stat(lock)).mtimeMs
    if (age > HELD_MS) return true
    const holder: unknown = JSON.parse(await readFile(lock, 'utf8'))
    if (typeof holder !== 'object' || holder === null) return false
    if (!('pid' in holder && 'startedAs' in holder)) return false
    const { pid, startedAs } = holder
    if (typeof pid !== 'number' || typeof startedAs !== 'string') return false
    return !(await isAlive({ pid, startedAs }))
  } catch (error) {
    // Just given back, or just made and not written yet.
    if (isMissing(error) || error instanceof SyntaxError) return false
    throw error
  }
}
