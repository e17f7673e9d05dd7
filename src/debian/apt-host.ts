/** What of apt the host itself has: its downloader and its settings. */
import { existsSync } from 'node:fs'
import { ProgramError, runToEnd } from '../lib/process.ts'

/** Path of apt's download program, null on a host without apt. */
export function findAptHelper(hostRoot = '/'): string | null {
  const path = `${hostRoot}usr/lib/apt/apt-helper`
  return existsSync(path) ? path : null
}

/** Whether apt is configured to accept release files past their Valid-Until (`Acquire::Check-Valid-Until "false"`). */
export async function aptAcceptsExpired(): Promise<boolean> {
  const name = 'Acquire::Check-Valid-Until'
  const result = await runToEnd('apt-config', ['dump', name]).catch((error: unknown) => {
    // A host without apt has no such setting.
    if (error instanceof ProgramError) return null
    throw error
  })
  return result?.code === 0 && /"(false|no|0|off)"/i.test(result.stdout)
}

/** The architecture dpkg would name for this process. Null where there is none that we know. */
export function hostArchitecture(arch: string = process.arch): 'amd64' | 'arm64' | null {
  return arch === 'x64' ? 'amd64' : arch === 'arm64' ? 'arm64' : null
}
