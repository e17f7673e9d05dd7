import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { detectContainerHost } from '../src/container/container-host.ts'

/** False where containers start on this host, else the reason for a suite to be skipped. */
export async function containersWork(): Promise<string | false> {
  if (process.getuid?.() !== 0) return 'needs root'
  const folder = await mkdtemp(join(tmpdir(), 'fairway-detect-'))
  try {
    await detectContainerHost(folder)
    return false
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
