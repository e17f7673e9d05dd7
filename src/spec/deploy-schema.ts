import * as z from 'zod'
import { duration, durationBound, integer, percent, shareBound } from './scalar-schema.ts'

export const CANARY_STEPS: readonly number[] = Object.freeze([5, 25, 100])
export const CANARY_PAUSE_MS = 120_000
export const BLUEGREEN_KEEP_MS = 600_000

const analysis = z.strictObject({
  errorRate: shareBound
    .default(0.01)
    .describe('Share of answers 500 to 599. Default: `<1%`.')
    .meta({ examples: ['<1%'] }),
  p95: durationBound
    .optional()
    .describe('95th percentile of the answer time.')
    .meta({ examples: ['<500ms'] }),
  minRequests: integer(1, 1_000_000)
    .default(100)
    .describe('Requests below which no verdict is given: the canary waits.')
    .meta({ examples: [100] }),
})

export const deploy = z.strictObject({
  strategy: z
    .enum(['rolling', 'recreate', 'bluegreen', 'canary'])
    .default('rolling')
    .describe('How a new release takes over.')
    .meta({ examples: ['recreate'] }),
  keep: duration({ max: '7d' })
    .optional()
    .describe(
      'How long the old release of a `bluegreen` stays ready for the way back. Default: 10m.',
    )
    .meta({ examples: ['30m'] }),
  steps: z
    .array(percent)
    .min(1)
    .max(20)
    .optional()
    .describe('Shares of the traffic that a `canary` gets, in order. Default: 5%, 25%, 100%.')
    .meta({ examples: [['5%', '25%', '100%']] }),
  pause: duration()
    .optional()
    .describe('Time between two steps of a `canary`. Default: 2m.')
    .meta({ examples: ['2m'] }),
  analysis: analysis
    .optional()
    .describe('What a `canary` must keep to go on. Default: only that it is ready.'),
})

export type DeployInput = z.output<typeof deploy>
