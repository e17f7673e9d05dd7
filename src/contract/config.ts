import { z } from 'zod'
import { MAX_CONFIG_KEYS } from '../model/platform.ts'

export const MAX_CONFIG_VALUE = 32 * 1024

export const configName = z
  .string()
  .max(128, 'expected at most 128 characters')
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected letters, digits and _, not starting with a digit')

const configValue = z
  .string()
  .max(MAX_CONFIG_VALUE, 'expected at most 32 KiB')
  .refine((text) => !text.includes('\0'), 'expected a value without NUL')
  // Half a pair has no UTF-8 form: an app would be given another value than was set.
  .refine(
    (text) => text.isWellFormed(),
    'expected text that is whole, without half a surrogate pair',
  )

/** Changes of configuration: null deletes. */
export const configChanges = z.record(configName, configValue.nullable()).refine((changes) => {
  const count = Object.keys(changes).length
  return count > 0 && count <= MAX_CONFIG_KEYS
}, `expected 1 to ${MAX_CONFIG_KEYS} names`)

/** `values` is null for a role that may see names only. */
export const config = z.object({
  version: z.number().int(),
  names: z.array(z.string()),
  values: z.record(z.string(), z.string()).nullable(),
})
export type ConfigBody = z.output<typeof config>
