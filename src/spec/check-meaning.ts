import type { ResolvedFile } from './app-file-schema.ts'
import { didYouMean } from './did-you-mean.ts'
import type { ProcessInput } from './process-schema.ts'
import type { Problem } from './problem.ts'
import { problemOf, type Locator } from './validate.ts'

/** What the shape alone cannot say: keys that contradict each other, names that stand for nothing. */
export function checkMeaning(file: ResolvedFile, locate: Locator): readonly Problem[] {
  return [
    ...checkBuild(file, locate),
    ...Object.entries(file.processes).flatMap(([name, process]) =>
      checkProcess(name, process, file, locate),
    ),
    ...checkRoutes(file, locate),
    ...checkNames(file, locate),
  ]
}

/** `web`, or with a port or routes, and not scheduled. */
export function isWeb(name: string, process: ProcessInput): boolean {
  if (process.schedule !== undefined) return false
  const routed = Object.keys(process.routes ?? {}).length > 0
  return name === 'web' || process.port !== undefined || routed
}

function checkBuild({ build }: ResolvedFile, locate: Locator): Problem[] {
  if (build.image === undefined) return []
  return (['command', 'dockerfile', 'kind', 'auto'] as const)
    .filter((key) => build[key] !== undefined)
    .map((key) =>
      problemOf(locate, ['build', key], `build.image and build.${key} exclude each other`, {
        at: 'key',
      }),
    )
}

function checkProcess(
  name: string,
  process: ProcessInput,
  file: ResolvedFile,
  locate: Locator,
): Problem[] {
  const problems: Problem[] = []
  const path = ['processes', name]
  const { scale, health } = process
  if (scale.max !== undefined && scale.max < scale.min)
    problems.push(
      problemOf(
        locate,
        [...path, 'scale', 'max'],
        `scale.max ${scale.max} is less than scale.min ${scale.min}`,
      ),
    )
  if (health.ready !== undefined && !isWeb(name, process))
    problems.push(
      problemOf(locate, [...path, 'health', 'ready'], 'a worker cannot be asked over HTTP', {
        suggestion: `add processes.${name}.port`,
      }),
    )
  if (
    process.schedule !== undefined &&
    (process.port !== undefined || process.routes !== undefined)
  )
    problems.push(
      problemOf(locate, [...path, 'schedule'], 'a scheduled process has no port and no routes'),
    )
  const queue = scale.on?.queue
  if (queue !== undefined && file.addons?.[queue.addon] === undefined)
    problems.push(
      unknownName(
        locate,
        [...path, 'scale', 'on', 'queue', 'addon'],
        queue.addon,
        Object.keys(file.addons ?? {}),
      ),
    )
  return problems
}

function checkRoutes(file: ResolvedFile, locate: Locator): Problem[] {
  const taken = new Map<string, string>()
  const problems: Problem[] = []
  for (const [name, process] of Object.entries(file.processes)) {
    for (const [route, { host, path }] of Object.entries(process.routes ?? {})) {
      const target = `${host ?? '(default host)'}${path}`
      const other = taken.get(target)
      const here = ['processes', name, 'routes', route]
      if (other === undefined) taken.set(target, here.join('.'))
      else
        problems.push(
          problemOf(locate, here, `${target} is already the route ${other}`, { at: 'key' }),
        )
    }
  }
  return problems
}

function checkNames(file: ResolvedFile, locate: Locator): Problem[] {
  const processes = Object.keys(file.processes)
  const known = processes.length === 0 ? ['web'] : processes
  const volumes = Object.entries(file.volumes ?? {}).flatMap(([name, volume]) =>
    volume.processes
      .map((process, i) => ({ process, path: ['volumes', name, 'processes', i] }))
      .filter(({ process }) => !known.includes(process))
      .map(({ process, path }) => unknownName(locate, path, process, known)),
  )
  const targets = [
    ...Object.keys(file.mesh?.allow ?? {}).map((name) => ['mesh', 'allow', name]),
    ...Object.keys(file.mesh?.calls ?? {}).map((name) => ['mesh', 'calls', name]),
  ].filter((path) => !known.includes(path[2] ?? ''))
  return [
    ...volumes,
    ...targets.map((path) => unknownName(locate, path, path[2] ?? '', known, 'key')),
  ]
}

function unknownName(
  locate: Locator,
  path: readonly (string | number)[],
  name: string,
  known: readonly string[],
  at: 'key' | 'value' = 'value',
): Problem {
  const list = known.length === 0 ? 'there are none in this file' : `known: ${known.join(', ')}`
  return problemOf(locate, path, `${JSON.stringify(name)} is not in this file`, {
    suggestion: didYouMean(name, known) || list,
    at,
  })
}
