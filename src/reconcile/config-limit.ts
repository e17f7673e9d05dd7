import { FairwayError } from '../model/errors.ts'
import { refKey, type AppRef } from '../model/names.ts'
import { MAX_CONFIG_BYTES, MAX_CONFIG_KEYS } from '../model/platform.ts'

/**
 * All values of an app as they would be after a change; null is deleted. Changes are small, but they add up, and what a program cannot be given
 * at its start would stop every later deploy. @throws FairwayError INVALID_REQUEST
 */
export function checkConfig(ref: AppRef, config: Readonly<Record<string, string | null>>): void {
  let keys = 0
  let bytes = 0
  for (const [name, value] of Object.entries(config)) {
    if (value === null) continue
    keys += 1
    bytes += name.length + Buffer.byteLength(value) + 2
  }
  const hint = 'Delete values with `fairway env unset`, or keep large ones in a file of the app.'
  if (keys > MAX_CONFIG_KEYS) {
    const message = `${refKey(ref)} would have ${String(keys)} values, at most ${String(MAX_CONFIG_KEYS)} are kept`
    throw new FairwayError('INVALID_REQUEST', message, { hint })
  }
  if (bytes > MAX_CONFIG_BYTES) {
    const message = `the values of ${refKey(ref)} would be ${String(bytes)} bytes together, at most ${String(MAX_CONFIG_BYTES)} are kept`
    throw new FairwayError('INVALID_REQUEST', message, { hint })
  }
}
