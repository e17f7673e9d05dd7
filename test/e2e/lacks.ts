import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'

/** False where every program is found on PATH, else the reason for a test to be skipped. */
export function lacks(...programs: readonly string[]): string | false {
  const missing = programs.filter((program) => !isHere(program))
  return missing.length > 0 && `needs ${missing.join(', ')}`
}

function isHere(program: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
