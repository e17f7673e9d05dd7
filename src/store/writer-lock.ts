import { chmod, open } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import { FairwayError } from '../model/errors.ts'

export interface WriterLock {
  release(): Promise<void>
}

/**
 * One writer per data directory. The lock is SQLite's exclusive lock on a file of its own: the kernel drops it when the process ends, however
 * it ends, and a pid that was given to another program cannot hold it by mistake. `<path>.pid` is only for the message.
 * @throws FairwayError CONFLICT while another holds it
 */
export async function acquireWriterLock(path: string): Promise<WriterLock> {
  const file = await open(path, 'a', 0o600)
  await file.close()
  await chmod(path, 0o600)
  const database = new DatabaseSync(path)
  try {
    database.exec('pragma busy_timeout = 0')
    database.exec('begin exclusive')
  } catch (cause) {
    database.close()
    if (!isBusy(cause)) throw cause
    const holder = await readIfExists(`${path}.pid`)
    const who = holder === null ? 'another server' : `another server (process ${holder.trim()})`
    throw new FairwayError('CONFLICT', `${who} already uses this data directory`, {
      cause,
      hint: 'Stop it first, or start this one with another data directory.',
    })
  }
  await writeAtomically(`${path}.pid`, `${process.pid}\n`, { durable: false })
  return {
    release: () => {
      if (database.isOpen) database.close()
      return Promise.resolve()
    },
  }
}

/** SQLITE_BUSY is 5; extended codes keep it in the low byte. */
function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === 5
}
