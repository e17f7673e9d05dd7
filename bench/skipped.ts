import type { BenchResult } from './result.ts'

/** No numbers, and why. */
export function skipped(name: string, reason: string): BenchResult {
  return { name, results: [], notes: [`skipped: ${reason}`] }
}
