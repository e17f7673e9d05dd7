import { z } from 'zod'
import { ERRORS, type ErrorCode } from '../model/errors.ts'

/** Body of every answer of status 400 and above, and the last line of a stream that broke. */
export const problem = z
  .object({
    error: z.object({
      /** Stable; docs/errors.md lists all. A client must bear with codes that it does not know. */
      code: z.string(),
      message: z.string(),
      hint: z.string(),
      details: z.record(z.string(), z.unknown()),
    }),
  })
  .meta({ id: 'Problem' })
export type Problem = z.output<typeof problem>

/** Type guard for codes of this version's table. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}
