import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import { bootId } from '../lib/process-identity.ts'

/** Makes the run directory. Where /run is no tmpfs, its content outlives what it speaks of: that of an earlier boot is removed. */
export async function forgetEarlierBoot(runDir: string): Promise<void> {
  const file = join(runDir, 'boot-id')
  const now = await bootId()
  const before = await readIfExists(file)
  if (before !== null && before !== now) await rm(runDir, { recursive: true, force: true })
  await mkdir(runDir, { recursive: true, mode: 0o711 })
  await writeAtomically(file, now, { durable: false })
}
