import { z } from 'zod'
import { appName, environmentName, processName, time } from './name.ts'

/** RFC 1123 subdomain, as nodes are named. */
export const nodeName = z
  .string()
  .max(253)
  .regex(
    /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/,
    'expected the name of a node',
  )

const MAX_DRAIN_MS = 24 * 3_600_000

export const drainBody = z.strictObject({
  /** It ends after that long with what is left. */
  timeoutMs: z.number().int().min(1000).max(MAX_DRAIN_MS),
  /** Also what loses data kept on the node, and what nothing starts again elsewhere. */
  localData: z.boolean(),
})

const notice = z.object({
  kind: z.enum(['terminate', 'scheduled', 'rebalance']),
  at: time,
  deadline: time.nullable(),
})

export const node = z
  .object({
    name: z.string(),
    ready: z.boolean(),
    schedulable: z.boolean(),
    spot: z.boolean(),
    copies: z.array(
      z.object({
        ref: z.object({ app: appName, environment: environmentName }),
        process: processName,
        count: z.number().int(),
      }),
    ),
    notices: z.array(notice),
  })
  .meta({ id: 'Node' })

export const drainEvent = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('cordoned'), at: time, node: z.string() }),
    z.object({
      type: z.literal('pod'),
      at: time,
      pod: z.string(),
      state: z.enum(['evicting', 'blocked', 'waiting', 'skipped', 'deleted', 'gone']),
      text: z.string(),
    }),
    z.object({
      type: z.literal('end'),
      at: time,
      drained: z.boolean(),
      left: z.array(z.object({ pod: z.string(), text: z.string() })),
    }),
  ])
  .meta({ id: 'DrainEvent' })

export type NodeBody = z.output<typeof node>
export type DrainEventBody = z.output<typeof drainEvent>
