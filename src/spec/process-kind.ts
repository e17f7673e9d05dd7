import type { ProcessInput } from './process-schema.ts'

/** `web`, or with a port or routes, and not scheduled. */
export function isWeb(name: string, process: ProcessInput): boolean {
  if (process.schedule !== undefined) return false
  const routed = Object.keys(process.routes ?? {}).length > 0
  return name === 'web' || process.port !== undefined || routed
}
