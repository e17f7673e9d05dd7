import type { InstanceSpec } from './instance.ts'

/** Current log file of an instance, as runner.ts describes; rotated ones have `.1`, `.2`… appended. */
export function logFile(logDir: string, { id, ref }: Pick<InstanceSpec, 'id' | 'ref'>): string {
  return `${logDir}/${ref.app}/${ref.environment}/${id}.log`
}
