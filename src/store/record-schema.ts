import * as z from 'zod'
import { PROCESS_DEFAULTS, type AppSpec, type ProcessSpec } from '../model/app-spec.ts'
import {
  parseAppName,
  parseEnvironmentName,
  parseProcessName,
  parseTargetName,
  type AppRef,
} from '../model/names.ts'
import { ACTIONS, ROLES, type Grant } from '../model/identity.ts'
import { ON_CHANGE, RELOAD_SIGNALS } from '../model/secrets.ts'
import type { Digest, ImageFacts, Rollout, RolloutRequest, StepRecord } from '../model/release.ts'

/**
 * JSON columns as they are read back. Objects are loose: a field that a later version added is kept, not dropped, when a row is read and
 * written again by this one.
 */
const texts = z.record(z.string(), z.string())
const argv = z.array(z.string())

const documents = z.array(z.looseObject({ path: z.string(), text: z.string() }))

const fromVault = z.looseObject({ kind: z.literal('vault'), path: z.string(), key: z.string() })

const generated = z.looseObject({
  kind: z.literal('generated'),
  name: z.string(),
  bytes: z.number(),
})

/** Closed: a value from a place that this version does not know must not be left out. */
const references = z.record(
  z.string(),
  z.discriminatedUnion('kind', [
    z.looseObject({ kind: z.literal('secret'), name: z.string() }),
    fromVault,
    generated,
  ]),
)
const live = {
  onChange: z.enum(ON_CHANGE).optional(),
  signal: z.enum(RELOAD_SIGNALS).optional(),
}
const files = z.record(
  z.string(),
  z.discriminatedUnion('kind', [fromVault.extend(live), generated.extend(live)]),
)

const ref: z.ZodType<AppRef> = z.looseObject({
  app: z.string().transform(parseAppName),
  environment: z.string().transform(parseEnvironmentName),
})

const schedule = z.looseObject({
  cron: z.string(),
  timezone: z.string(),
  overlap: z.enum(['forbid', 'allow', 'replace']),
  deadlineMs: z.number().nullable(),
  retries: z.number(),
  catchUpMs: z.number(),
})

const canary = z.looseObject({
  steps: z.array(z.number()),
  pauseMs: z.number(),
  analysis: z
    .looseObject({
      maxErrorRate: z.number(),
      p95Ms: z.number().nullable(),
      minRequests: z.number(),
    })
    .nullable(),
})

const volume = z.looseObject({
  name: z.string(),
  sizeBytes: z.number(),
  mount: z.string(),
  shared: z.boolean(),
})

const autoscale = z.looseObject({
  cpuPercent: z.number().nullable(),
  memoryPercent: z.number().nullable(),
})

const caller = z.looseObject({
  app: z.string().transform(parseAppName),
  process: z.string().transform(parseProcessName),
})

/** Fields with a default are younger than the oldest rows. */
const process: z.ZodType<ProcessSpec> = z.looseObject({
  name: z.string().transform(parseProcessName),
  type: z.enum(['web', 'worker', 'cron']),
  schedule: schedule.nullable().default(PROCESS_DEFAULTS.schedule),
  command: argv.nullable(),
  env: texts,
  envFrom: references.optional(),
  port: z.number().nullable(),
  routes: z.array(z.looseObject({ host: z.string().nullable(), path: z.string() })),
  health: z.looseObject({
    ready: z.string().nullable(),
    live: z.string().nullable().default(null),
    startMs: z.number(),
    intervalMs: z.number(),
    timeoutMs: z.number(),
    failures: z.number(),
  }),
  shutdown: z.looseObject({
    signal: z.enum(['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2']),
    drainMs: z.number(),
    stopMs: z.number(),
  }),
  resources: z.looseObject({ cpu: z.number(), memory: z.number(), pids: z.number() }),
  scale: z.looseObject({ min: z.number(), max: z.number() }),
  strategy: z.enum(['rolling', 'recreate', 'bluegreen', 'canary']),
  canary: canary.nullable().default(PROCESS_DEFAULTS.canary),
  bluegreen: z.looseObject({ keepMs: z.number() }).nullable().default(PROCESS_DEFAULTS.bluegreen),
  volumes: z.array(volume).default([]),
  peers: z.boolean().default(PROCESS_DEFAULTS.peers),
  identity: z.boolean().default(PROCESS_DEFAULTS.identity),
  autoscale: autoscale.nullable().default(PROCESS_DEFAULTS.autoscale),
  spread: z.enum(['none', 'node', 'zone']).default(PROCESS_DEFAULTS.spread),
  disruption: z.number().default(PROCESS_DEFAULTS.disruption),
  spot: z.enum(['allow', 'never']).default(PROCESS_DEFAULTS.spot),
  callers: z.array(caller).nullable().default(PROCESS_DEFAULTS.callers),
  maxAgeMs: z.number().nullable(),
})

export const specSchema: z.ZodType<AppSpec> = z.looseObject({
  name: z.string().transform(parseAppName),
  environment: z.string().transform(parseEnvironmentName),
  target: z.string().transform(parseTargetName).nullable().default(null),
  build: z.looseObject({
    image: z.string().nullable(),
    command: argv.nullable(),
    context: z.string(),
  }),
  env: texts,
  envFrom: references.optional(),
  files: files.optional(),
  secrets: z.array(z.string()).optional(),
  release: z.looseObject({ command: argv, timeoutMs: z.number() }).nullable(),
  processes: z.record(z.string(), process),
})

const digest = z.custom<Digest>(
  (value) => typeof value === 'string' && /^sha256:[0-9a-f]{64}$/.test(value),
)

export const imageSchema: z.ZodType<ImageFacts> = z.looseObject({
  digest,
  flavour: z.enum(['image', 'host']),
  command: argv,
  env: texts,
  workingDir: z.string(),
  user: z.string(),
  port: z.number().nullable(),
  sizeBytes: z.number(),
})

export const configSchema = texts
export const documentsSchema = documents
export const scaleSchema = z.record(z.string(), z.number())
export const statusSchema = z.enum(['pending', 'active', 'superseded', 'failed'])

/** Strict, and closed: a limit that this version does not know must not be dropped. */
export const grantSchema: z.ZodType<Grant> = z.strictObject({
  role: z.enum(ROLES),
  environment: z.string().nullable(),
  team: z.string().nullable(),
  app: z.string().nullable(),
  actions: z.array(z.enum(ACTIONS)).nullable(),
})
export const grantsSchema = z.array(grantSchema)
export const appsSchema = z.array(z.string())
export const bindingKindSchema = z.enum(['user', 'group'])

const step: z.ZodType<StepRecord> = z.looseObject({
  name: z.enum(['approve', 'bake', 'gate', 'release', 'start', 'switch', 'drain']),
  status: z.enum(['running', 'done', 'skipped', 'failed']),
  startedAt: z.number(),
  endedAt: z.number().nullable(),
  summary: z.string(),
})

const request: z.ZodType<RolloutRequest> = z.discriminatedUnion('kind', [
  z.looseObject({
    kind: z.literal('deploy'),
    source: z.string().nullable(),
    appFile: z.looseObject({ path: z.string(), text: z.string() }).nullable(),
    image: z.string().nullable(),
    secrets: documents.optional(),
  }),
  z.looseObject({ kind: z.literal('rollback'), to: z.number() }),
  z.looseObject({ kind: z.literal('config'), summary: z.string() }),
  z.looseObject({ kind: z.literal('secrets'), documents }),
])

export const rolloutSchema: z.ZodType<Rollout> = z.looseObject({
  id: z.string(),
  ref,
  release: z.number().nullable(),
  previous: z.number().nullable(),
  request,
  status: z.enum(['waiting', 'queued', 'running', 'succeeded', 'failed', 'superseded']),
  steps: z.array(step),
  share: z.number().default(0),
  failure: z
    .looseObject({
      code: z.string(),
      message: z.string(),
      hint: z.string().optional(),
      diagnosis: z.array(z.string()),
    })
    .nullable(),
  createdAt: z.number(),
  endedAt: z.number().nullable(),
  createdBy: z.string(),
  approval: z
    .looseObject({
      askedBy: z.string(),
      expiresAt: z.number(),
      approvedBy: z.string().nullable(),
    })
    .nullable()
    .default(null),
})
