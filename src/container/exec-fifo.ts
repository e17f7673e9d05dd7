import { constants } from 'node:fs'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { isMissing } from '../lib/missing-file.ts'
import { isAlive, type ProcessIdentity } from '../lib/process-identity.ts'
import type { Clock } from '../model/clock.ts'

export interface ExecFifoOptions {
  /** `exec.fifo` in the container's state. */
  readonly path: string
  /** The container's init, which waits for a reader. */
  readonly init: ProcessIdentity
  readonly clock: Clock
}

const LOOK_MS = 1
const LOOKS_PER_CHECK = 20

/**
 * Lets a container that runc created run its command, as `runc start` does (libcontainer, `handleFifoResult`): reads the byte that its init
 * writes right before the command replaces it, then removes the pipe, which is what makes the state `running`. That saves starting a program.
 * False where there is no such pipe or the init has ended: the runtime itself knows more then.
 */
export async function passExecFifo({ path, init, clock }: ExecFifoOptions): Promise<boolean> {
  const fifo = await openFifo(path)
  if (fifo === null) return false
  try {
    for (let look = 1; !(await hasByte(fifo)); look++) {
      // What has ended may have written since the look before.
      if (look % LOOKS_PER_CHECK === 0 && !(await isAlive(init))) {
        if (await hasByte(fifo)) break
        return false
      }
      await clock.sleep(LOOK_MS)
    }
  } finally {
    await fifo.close()
  }
  await rm(path, { force: true })
  return true
}

/** Never waits for a writer: a thread of ours would hang for ever where the init has ended. */
async function openFifo(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

async function hasByte(fifo: FileHandle): Promise<boolean> {
  try {
    return (await fifo.read(Buffer.alloc(1), 0, 1, null)).bytesRead > 0
  } catch (error) {
    // The init has opened it and not written yet.
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return false
    throw error
  }
}
