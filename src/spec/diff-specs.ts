import type { AppSpec, CanaryAnalysis, ProcessSpec, RouteSpec } from '../model/app-spec.ts'
import { formatDuration, formatSize } from './quantity.ts'

/**
 * What a deploy would change, for people: '+ process worker', '~ web: memory 512Mi → 1Gi', '~ env LOG_LEVEL', '- route old.example.com/'.
 * Values of variables are never in it. Empty = the same.
 */
export function diffSpecs(old: AppSpec | null, next: AppSpec): readonly string[] {
  const before = old?.processes ?? {}
  const names = [...new Set([...Object.keys(before), ...Object.keys(next.processes)])]
  return [
    ...(old === null ? [`+ app ${next.name} in ${next.environment}`] : []),
    ...diffFacts('', old === null ? {} : appFacts(old), appFacts(next)),
    ...diffNames('env', old === null ? {} : variables(old), variables(next)),
    ...diffNames('file', sourcedFiles(old), sourcedFiles(next)),
    ...diffNames('secrets file', fileNames(old), fileNames(next)),
    ...names.flatMap((name) => {
      const entry = (spec: AppSpec | null): ProcessSpec | undefined =>
        Object.values(spec?.processes ?? {}).find((process) => process.name === name)
      return diffProcess(name, entry(old), entry(next))
    }),
  ]
}

function diffProcess(
  name: string,
  old: ProcessSpec | undefined,
  next: ProcessSpec | undefined,
): readonly string[] {
  if (next === undefined) return [`- process ${name}`, ...routeLines('-', old?.routes ?? [])]
  if (old === undefined)
    return [
      `+ process ${name} (${next.type}, ${next.scale.min} × ${next.resources.cpu} cpu, ${formatSize(next.resources.memory)})`,
      ...routeLines('+', next.routes),
    ]
  return [
    ...diffFacts(`${name}: `, factsOf(old), factsOf(next)),
    ...diffNames(`${name}: env`, variables(old), variables(next)),
    ...routeLines('-', missingFrom(old.routes, next.routes)),
    ...routeLines('+', missingFrom(next.routes, old.routes)),
  ]
}

/** A variable changes too where its value comes from another place. */
function variables({
  env,
  envFrom = {},
}: Pick<ProcessSpec, 'env' | 'envFrom'>): Record<string, string> {
  const from = Object.entries(envFrom).map(
    ([name, reference]) => [name, JSON.stringify(reference)] as const,
  )
  return { ...env, ...Object.fromEntries(from) }
}

function sourcedFiles(spec: AppSpec | null): Record<string, string> {
  return Object.fromEntries(
    Object.entries(spec?.files ?? {}).map(([name, from]) => [name, JSON.stringify(from)]),
  )
}

function fileNames(spec: AppSpec | null): Record<string, string> {
  return Object.fromEntries((spec?.secrets ?? []).map((path) => [path, path]))
}

type Facts = Readonly<Record<string, string | null>>

function appFacts({ target, build, release }: AppSpec): Facts {
  return {
    target,
    'build image': build.image,
    'build command': words(build.command),
    'build context': build.context === '.' ? null : build.context,
    release: words(release?.command),
    'release timeout': release === null ? null : formatDuration(release.timeoutMs),
  }
}

function factsOf(process: ProcessSpec): Facts {
  const { health, shutdown, resources, scale } = process
  return {
    type: process.type,
    command: words(process.command),
    port: process.port === null ? null : String(process.port),
    ready: health.ready,
    'start time': formatDuration(health.startMs),
    'probe interval': formatDuration(health.intervalMs),
    'probe timeout': formatDuration(health.timeoutMs),
    'probe failures': String(health.failures),
    signal: shutdown.signal,
    drain: formatDuration(shutdown.drainMs),
    stop: formatDuration(shutdown.stopMs),
    cpu: String(resources.cpu),
    memory: formatSize(resources.memory),
    pids: String(resources.pids),
    scale: scale.min === scale.max ? String(scale.min) : `${scale.min} to ${scale.max}`,
    strategy: process.strategy,
    'canary steps': process.canary?.steps.map((step) => `${step}%`).join(', ') ?? null,
    'canary pause': duration(process.canary?.pauseMs),
    'canary analysis': analysisText(process.canary?.analysis ?? null),
    'old release kept': duration(process.bluegreen?.keepMs),
    live: health.live,
    ...scheduleFacts(process),
    'scale on': scaleText(process),
    volumes: volumesText(process),
    peers: process.peers ? 'yes' : 'no',
    identity: process.identity ? 'yes' : 'no',
    spread: process.spread,
    disruption: String(process.disruption),
    spot: process.spot,
    callers: process.callers?.map(({ app, process }) => `${app}/${process}`).join(', ') ?? null,
    'maximum age': process.maxAgeMs === null ? null : formatDuration(process.maxAgeMs),
  }
}

function scheduleFacts({ schedule }: ProcessSpec): Facts {
  if (schedule === null) return { schedule: null }
  return {
    schedule: `${schedule.cron} ${schedule.timezone}`,
    overlap: schedule.overlap,
    deadline: duration(schedule.deadlineMs),
    retries: String(schedule.retries),
    'catch up': formatDuration(schedule.catchUpMs),
  }
}

function scaleText({ autoscale }: ProcessSpec): string | null {
  if (autoscale === null) return null
  const { cpuPercent, memoryPercent } = autoscale
  return [
    ...(cpuPercent === null ? [] : [`cpu ${cpuPercent}%`]),
    ...(memoryPercent === null ? [] : [`memory ${memoryPercent}%`]),
  ].join(', ')
}

function volumesText({ volumes }: ProcessSpec): string | null {
  if (volumes.length === 0) return null
  return volumes
    .map(
      ({ name, sizeBytes, mount, shared }) =>
        `${name} ${formatSize(sizeBytes)} at ${mount}${shared ? ' shared' : ''}`,
    )
    .join(', ')
}

function analysisText(analysis: CanaryAnalysis | null): string | null {
  if (analysis === null) return null
  const { maxErrorRate, p95Ms, minRequests } = analysis
  const time = p95Ms === null ? '' : `, p95 < ${formatDuration(p95Ms)}`
  return `errors < ${Number((maxErrorRate * 100).toFixed(4))}%${time}, from ${minRequests} requests`
}

function duration(ms: number | null | undefined): string | null {
  return ms === null || ms === undefined ? null : formatDuration(ms)
}

function diffFacts(label: string, old: Facts, next: Facts): readonly string[] {
  return Object.entries(next).flatMap(([fact, value]) => {
    const before = old[fact] ?? null
    if (before === value) return []
    return [`~ ${label}${fact} ${before ?? '(default)'} → ${value ?? '(default)'}`]
  })
}

/** Names only: a value may be a secret that somebody put where it does not belong. */
function diffNames(
  label: string,
  old: Readonly<Record<string, string>>,
  next: Readonly<Record<string, string>>,
): readonly string[] {
  const names = [...new Set([...Object.keys(old), ...Object.keys(next)])].sort()
  return names.flatMap((name) => {
    if (old[name] === next[name]) return []
    const sign = old[name] === undefined ? '+' : next[name] === undefined ? '-' : '~'
    return [`${sign} ${label} ${name}`]
  })
}

function missingFrom(some: readonly RouteSpec[], others: readonly RouteSpec[]): RouteSpec[] {
  return some.filter(
    (route) => !others.some(({ host, path }) => host === route.host && path === route.path),
  )
}

function routeLines(sign: '+' | '-', routes: readonly RouteSpec[]): readonly string[] {
  return routes.map(({ host, path }) => `${sign} route ${host ?? '(default host)'}${path}`)
}

function words(argv: readonly string[] | null | undefined): string | null {
  return (
    argv?.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word))).join(' ') ??
    null
  )
}
