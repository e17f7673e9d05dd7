import { z } from 'zod'
import { time } from './name.ts'

export const MAX_LOG_LIMIT = 100_000

export const logLine = z
  .object({
    time,
    stream: z.enum(['stdout', 'stderr', 'platform']),
    instance: z.string(),
    process: z.string(),
    release: z.number().int(),
    text: z.string(),
  })
  .meta({ id: 'LogLine' })

/** Lines of `run`: what the command prints, at last how it ended. */
export const runEvent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('line'), line: logLine }),
  z.object({ type: z.literal('exit'), code: z.number().int().nullable(), reason: z.string() }),
])

export type LogLineBody = z.output<typeof logLine>
export type RunEventBody = z.output<typeof runEvent>
