import { z } from 'zod'
import { targetName, time } from './name.ts'

const MAX_KUBECONFIG = 1 << 20
const REGISTRY = /^[a-z0-9][a-z0-9.-]*(?::\d{1,5})?(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*$/

const registry = z.strictObject({
  name: z
    .string()
    .max(255)
    .regex(REGISTRY, 'expected HOST[:PORT][/PATH], lower case, without https://'),
  /** True: images are pushed there. False: it is the address by which the nodes reach the registry of this server. */
  push: z.boolean(),
  user: z.string().min(1).max(255).nullable(),
  password: z.string().min(1).max(65_536).nullable(),
  /** What nodes log in with to pull; null = as who pushes. */
  pull: z
    .strictObject({ user: z.string().min(1).max(255), password: z.string().min(1).max(65_536) })
    .nullable()
    .default(null),
})

const metrics = z.strictObject({
  /** Base URL of something that speaks the HTTP API of Prometheus. */
  url: z.string().min(1).max(2048),
  token: z
    .string()
    .max(16_384)
    .regex(/^[\x21-\x7e]+$/, 'expected a token of visible ASCII characters')
    .nullable(),
})

export const targetBody = z.strictObject({
  kubeconfig: z.string().min(1).max(MAX_KUBECONFIG),
  context: z.string().min(1).max(255).nullable(),
  registry: registry.nullable(),
  metrics: metrics.nullable().default(null),
  serverUrl: z
    .string()
    .max(512)
    .regex(/^https:\/\/[A-Za-z0-9.[\]:-]+$/, 'expected https://HOST or https://HOST:PORT')
    .refine((text) => URL.canParse(text), 'expected https://HOST or https://HOST:PORT')
    .nullable()
    .default(null),
})

/** A cluster that apps are deployed to; credentials are never part of an answer. */
export const target = z
  .object({
    name: targetName,
    server: z.string(),
    context: z.string().nullable(),
    registry: z.string().nullable(),
    metrics: z.string().nullable(),
    serverUrl: z.string().nullable(),
    createdAt: time,
    apps: z.array(z.string()),
  })
  .meta({ id: 'Target' })

export const hostCheck = z
  .object({
    name: z.string(),
    status: z.enum(['ok', 'warn', 'fail']),
    message: z.string(),
    fix: z.string().nullable(),
  })
  .meta({ id: 'Check' })

const dnsLabel = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const nodePort = z.number().int().min(1024).max(65_535)

const webUrl = z.url({ protocol: /^https?$/, error: 'expected an http or https URL' }).max(2048)

const variableName = z.string().regex(/^[A-Z][A-Z0-9_]{0,99}$/, 'expected the name of a variable')
const MAX_SETTINGS = 100
/** A Secret takes a mebibyte. */
const MAX_SETTINGS_TEXT = 500_000

/** Some sources with their keys in place. */
const MAX_APT_SOURCES = 500_000

/** Of the servers: values, and contents of files by the variable that leads to each. */
const installSettings = z
  .strictObject({
    variables: z.record(variableName, z.string().max(8192)),
    files: z.record(variableName, z.string().max(65_536)),
  })
  .refine(
    ({ variables, files }) =>
      Object.keys({ ...variables, ...files }).length <= MAX_SETTINGS &&
      JSON.stringify([variables, files]).length <= MAX_SETTINGS_TEXT,
    `expected at most ${MAX_SETTINGS} settings of ${MAX_SETTINGS_TEXT} characters`,
  )

export const installBody = z.strictObject({
  namespace: z.string().regex(dnsLabel, 'expected a DNS label'),
  database: z
    .string()
    .max(4096)
    .regex(/^postgres(ql)?:\/\//, 'expected the URL of a PostgreSQL database: postgres://…')
    .nullable(),
  hosts: z
    .array(
      z
        .string()
        .max(253)
        .regex(/^[a-z0-9.:[\]-]+$/, 'expected a host name'),
    )
    .max(20),
  nodePort: nodePort.nullable(),
  accessNodePort: nodePort.nullable().default(null),
  registryPort: nodePort,
  npmRegistry: webUrl.nullable().default(null),
  pipIndex: webUrl.nullable().default(null),
  aptSources: z.string().max(MAX_APT_SOURCES).nullable().default(null),
  settings: installSettings.nullable().default(null),
  notices: z
    .strictObject({ source: z.literal('aws'), metadataUrl: webUrl.nullable() })
    .nullable()
    .default(null),
  dryRun: z.boolean(),
})

/** What was put on the cluster. `manifests` hold passwords. */
export const installed = z
  .object({
    manifests: z.string(),
    image: z.string(),
    active: z.string().nullable(),
    claim: z.string().nullable(),
    notes: z.array(z.string()),
  })
  .meta({ id: 'Installed' })

export const uninstallBody = z.strictObject({
  namespace: z.string().regex(dnsLabel, 'expected a DNS label'),
  /** True: its disks too. */
  data: z.boolean(),
  dryRun: z.boolean(),
})

export const uninstalled = z
  .object({
    removed: z.array(z.string()),
    stays: z.array(z.object({ what: z.string(), why: z.string() })),
  })
  .meta({ id: 'Uninstalled' })

export type UninstalledBody = z.output<typeof uninstalled>
export type InstallBody = z.input<typeof installBody>
export type InstalledBody = z.output<typeof installed>
export type TargetBody = z.output<typeof target>
export type NewTargetBody = z.input<typeof targetBody>
export type CheckBody = z.output<typeof hostCheck>
