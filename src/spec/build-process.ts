import type { CallerSpec, ProcessSpec, RouteSpec } from '../model/app-spec.ts'
import { parseAppName, parseProcessName, type AppName } from '../model/names.ts'
import {
  ON_CHANGE,
  RELOAD_SIGNALS,
  type SecretReference,
  type SourcedFile,
  type SourcedReference,
} from '../model/secrets.ts'
import type { ResolvedFile } from './app-file-schema.ts'
import { isWeb } from './process-kind.ts'
import { BLUEGREEN_KEEP_MS, CANARY_PAUSE_MS, CANARY_STEPS } from './deploy-schema.ts'
import type { ProcessInput } from './process-schema.ts'

export interface ProcessScope {
  readonly app: AppName
  readonly file: Pick<ResolvedFile, 'volumes' | 'mesh'>
  /** All processes of the app: which of them gets the default route depends on the others. */
  readonly all: Readonly<Record<string, ProcessInput>>
}

const CATCH_UP_MS = 600_000

/** One process with everything that the file leaves to defaults. */
export function buildProcess(name: string, input: ProcessInput, scope: ProcessScope): ProcessSpec {
  const web = isWeb(name, input)
  const scheduled = input.schedule !== undefined
  const { health, shutdown, resources, scale } = input
  return {
    name: parseProcessName(name),
    type: scheduled ? 'cron' : web ? 'web' : 'worker',
    schedule: scheduleOf(input),
    command: input.command ?? null,
    env: plainValues(input.env ?? {}),
    ...referencesOf(input.env ?? {}),
    port: web ? (input.port ?? null) : null,
    routes: web ? buildRoutes(name, input, scope) : [],
    health: {
      ready: health.ready ?? null,
      live: health.live ?? null,
      startMs: health.start,
      intervalMs: health.check.interval,
      timeoutMs: health.check.timeout,
      failures: health.check.failures,
    },
    shutdown: { signal: shutdown.signal, drainMs: shutdown.drain, stopMs: shutdown.stop },
    resources: { cpu: resources.cpu, memory: resources.memory, pids: resources.pids },
    // Between its runs nothing of a scheduled process exists.
    scale: scheduled
      ? { min: 0, max: 0 }
      : { min: scale.min, max: Math.max(scale.min, scale.max ?? scale.min) },
    ...strategyOf(input, ownsVolume(name, scope.file)),
    volumes: volumesOf(name, scope.file),
    peers: input.peers,
    identity: input.identity,
    autoscale: autoscaleOf(input),
    spread: input.spread,
    disruption: input.disruption,
    spot: input.spot,
    callers: callersOf(name, scope),
    maxAgeMs: input.maxAge ?? null,
  }
}

/** Variables whose values are elsewhere. */
export function referencesOf(values: Readonly<Record<string, unknown>>): {
  readonly envFrom?: Readonly<Record<string, SecretReference>>
} {
  const envFrom = mapped(values, (value, variable): SecretReference | null => {
    const name = isRecord(value) ? value['secret'] : undefined
    return typeof name === 'string' ? { kind: 'secret', name } : sourcedReference(value, variable)
  })
  return envFrom === null ? {} : { envFrom }
}

/** Files whose contents are elsewhere. */
export function filesOf(values: Readonly<Record<string, unknown>> = {}): {
  readonly files?: Readonly<Record<string, SourcedFile>>
} {
  const files = mapped(values, (value, file): SourcedFile | null => {
    const reference = sourcedReference(value, file)
    if (reference === null || !isRecord(value)) return null
    const onChange = ON_CHANGE.find((each) => each === value['onChange'])
    const signal = RELOAD_SIGNALS.find((each) => each === value['signal'])
    return {
      ...reference,
      ...(onChange === undefined ? {} : { onChange }),
      ...(signal === undefined ? {} : { signal }),
    }
  })
  return files === null ? {} : { files }
}

function mapped<To>(
  values: Readonly<Record<string, unknown>>,
  change: (value: unknown, name: string) => To | null,
): Readonly<Record<string, To>> | null {
  const found = Object.entries(values).flatMap(([key, value]) => {
    const to = change(value, key)
    return to === null ? [] : [[key, to] as const]
  })
  return found.length === 0 ? null : Object.fromEntries(found)
}

/** A generated value is known by the name that it is asked for under: a variable and a file of one name are the same value. */
function sourcedReference(value: unknown, name: string): SourcedReference | null {
  const { vault = null, generate = null } = isRecord(value) ? value : {}
  if (typeof generate === 'number') return { kind: 'generated', name, bytes: generate }
  if (typeof vault !== 'string') return null
  const at = vault.indexOf('#')
  return { kind: 'vault', path: vault.slice(0, at), key: vault.slice(at + 1) }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

/** Variables whose values stand in the file. */
export function plainValues(values: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).flatMap(([key, value]) =>
      typeof value === 'string' ? [[key, value]] : [],
    ),
  )
}

/** Whether a volume that one instance at a time may mount belongs to this process. */
export function ownsVolume(name: string, file: Pick<ResolvedFile, 'volumes'>): boolean {
  return volumesOf(name, file).some(({ shared }) => !shared)
}

function scheduleOf(input: ProcessInput): ProcessSpec['schedule'] {
  if (input.schedule === undefined) return null
  return {
    cron: input.schedule.trim().split(/\s+/).join(' '),
    timezone: input.tz ?? 'UTC',
    overlap: input.overlap ?? 'forbid',
    deadlineMs: input.deadline ?? null,
    retries: input.retries ?? 0,
    catchUpMs: input.catchUp ?? CATCH_UP_MS,
  }
}

function strategyOf(
  { deploy }: ProcessInput,
  exclusive: boolean,
): Pick<ProcessSpec, 'strategy' | 'canary' | 'bluegreen'> {
  const { strategy, analysis } = deploy
  const steps = deploy.steps ?? CANARY_STEPS
  return {
    strategy: exclusive && strategy === 'rolling' ? 'recreate' : strategy,
    canary:
      strategy !== 'canary'
        ? null
        : {
            steps: steps.at(-1) === 100 ? steps : [...steps, 100],
            pauseMs: deploy.pause ?? CANARY_PAUSE_MS,
            analysis:
              analysis === undefined
                ? null
                : {
                    maxErrorRate: analysis.errorRate,
                    p95Ms: analysis.p95 ?? null,
                    minRequests: analysis.minRequests,
                  },
          },
    bluegreen: strategy === 'bluegreen' ? { keepMs: deploy.keep ?? BLUEGREEN_KEEP_MS } : null,
  }
}

function volumesOf(
  process: string,
  { volumes = {} }: Pick<ResolvedFile, 'volumes'>,
): ProcessSpec['volumes'] {
  return Object.entries(volumes)
    .filter(([, { processes }]) => processes.includes(process))
    .map(([name, { size, mount, shared }]) => ({ name, sizeBytes: size, mount, shared }))
}

function autoscaleOf({ scale: { on } }: ProcessInput): ProcessSpec['autoscale'] {
  if (on?.cpu === undefined && on?.memory === undefined) return null
  return { cpuPercent: on.cpu ?? null, memoryPercent: on.memory ?? null }
}

/** Deny by default once `mesh.allow` is there: a process that it does not name is called by nobody. */
function callersOf(
  name: string,
  { app, file: { mesh } }: ProcessScope,
): readonly CallerSpec[] | null {
  if (mesh?.allow === undefined) return null
  return (mesh.allow[name] ?? []).map((caller) => {
    const [first = '', second] = caller.split('/')
    return second === undefined
      ? { app, process: parseProcessName(first) }
      : { app: parseAppName(first), process: parseProcessName(second) }
  })
}

/** `routes: {}` means none; without the key the process `web`, or the only web process, gets the default host. */
function buildRoutes(
  name: string,
  input: ProcessInput,
  { all }: ProcessScope,
): readonly RouteSpec[] {
  if (input.routes !== undefined)
    return Object.values(input.routes).map(({ host = null, path }) => ({ host, path }))
  const webs = Object.entries(all).filter(([other, process]) => isWeb(other, process))
  const main = webs.length === 1 || name === 'web'
  return main ? [{ host: null, path: '/' }] : []
}
