import { z } from 'zod'
import { appRef, processName, releaseNumber, time } from './name.ts'
import { release, rollout } from './rollout.ts'

const exitFacts = z.object({
  code: z.number().int().nullable(),
  signal: z.string().nullable(),
  reason: z.enum(['exited', 'oom', 'killed', 'unknown']),
  at: time,
})

const usage = z.object({
  memoryBytes: z.number(),
  memoryLimitBytes: z.number().nullable(),
  cpuSeconds: z.number(),
  pids: z.number(),
})

export const instance = z
  .object({
    id: z.string(),
    process: processName,
    release: releaseNumber,
    track: z.enum(['stable', 'candidate']),
    state: z.enum(['starting', 'ready', 'unready', 'draining', 'stopping', 'crashed', 'exited']),
    reason: z.string(),
    address: z.object({ host: z.string(), port: z.number().int() }).nullable(),
    startedAt: time,
    restarts: z.number().int(),
    exit: exitFacts.nullable(),
    usage: usage.nullable(),
  })
  .meta({ id: 'Instance' })

/** One app in one environment as `ps` and `status` show it. Configuration: names only. */
export const appStatus = z
  .object({
    ref: appRef,
    createdAt: time,
    active: releaseNumber.nullable(),
    deleting: z.boolean(),
    configNames: z.array(z.string()),
    configVersion: z.number().int(),
    scale: z.record(z.string(), z.number().int()),
    release: release.nullable(),
    rollout: rollout.nullable(),
    instances: z.array(instance),
    urls: z.array(z.string()),
  })
  .meta({ id: 'AppStatus' })

const processView = z.object({
  name: processName,
  type: z.enum(['web', 'worker', 'cron']),
  command: z.array(z.string()).nullable(),
  port: z.number().int().nullable(),
  routes: z.array(z.object({ host: z.string().nullable(), path: z.string() })),
  /** Names only. */
  env: z.array(z.string()),
  resources: z.object({ cpu: z.number(), memory: z.number(), pids: z.number() }),
  scale: z.object({ min: z.number(), max: z.number() }),
  strategy: z.enum(['rolling', 'recreate', 'bluegreen', 'canary']),
})

/** What a deploy of this input would do. */
export const appPlan = z
  .object({
    ref: appRef,
    recognition: z.object({ kind: z.string(), evidence: z.string() }),
    changes: z.array(z.string()),
    warnings: z.array(z.string()),
    /** Names only. */
    env: z.array(z.string()),
    processes: z.array(processView),
  })
  .meta({ id: 'AppPlan' })

export type InstanceBody = z.output<typeof instance>
export type AppStatusBody = z.output<typeof appStatus>
export type AppPlanBody = z.output<typeof appPlan>
