import type { ResolvedFile } from './app-file-schema.ts'
import { checkProcess } from './check-process.ts'
import { didYouMean } from './did-you-mean.ts'
import type { ProcessInput } from './process-schema.ts'
import type { Problem } from './problem.ts'
import { problemOf, type Locator } from './validate.ts'

/** What the shape alone cannot say: keys that contradict each other, names that stand for nothing. */
export function checkMeaning(file: ResolvedFile, locate: Locator): readonly Problem[] {
  return [
    ...checkBuild(file, locate),
    ...Object.entries(file.processes).flatMap(([name, process]) => [
      ...checkProcess(name, process, file, locate),
      ...checkQueue(name, process, file, locate),
    ]),
    ...checkChanges(file, locate),
    ...checkRoutes(file, locate),
    ...checkNames(file, locate),
  ]
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

/** A process reads its variables once; and a signal belongs to `onChange: signal`. */
function checkChanges(file: ResolvedFile, locate: Locator): Problem[] {
  const places = [
    { path: ['env'], values: file.env },
    ...Object.entries(file.processes).map(([name, { env = {} }]) => ({
      path: ['processes', name, 'env'],
      values: env,
    })),
  ]
  const variables = places.flatMap(({ path, values }) =>
    Object.entries(values).flatMap(([name, value]) => {
      if (typeof value === 'string' || !('onChange' in value)) return []
      if (value.onChange === undefined || value.onChange === 'restart') return []
      return [
        problemOf(
          locate,
          [...path, name, 'onChange'],
          `a variable of a running process cannot change, so ${value.onChange} cannot be: only restart can`,
          { suggestion: `make it a file: files.${name}` },
        ),
      ]
    }),
  )
  const signals = Object.entries(file.files ?? {}).flatMap(([name, value]) => {
    if (!('signal' in value) || value.signal === undefined || value.onChange === 'signal') return []
    const message = 'signal says nothing without onChange: signal'
    return [problemOf(locate, ['files', name, 'signal'], message)]
  })
  return [...variables, ...signals]
}

function checkQueue(
  name: string,
  { scale }: ProcessInput,
  file: ResolvedFile,
  locate: Locator,
): Problem[] {
  const queue = scale.on?.queue
  if (queue === undefined || file.addons?.[queue.addon] !== undefined) return []
  const path = ['processes', name, 'scale', 'on', 'queue', 'addon']
  return [unknownName(locate, path, queue.addon, Object.keys(file.addons ?? {}))]
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
  const sharers = Object.entries(file.volumes ?? {})
    .filter(([, { processes, shared }]) => processes.length > 1 && !shared)
    .map(([name]) =>
      problemOf(
        locate,
        ['volumes', name, 'processes'],
        'several processes can only share a volume',
        {
          suggestion: `add volumes.${name}.shared: true`,
        },
      ),
    )
  const callers = Object.entries(file.mesh?.allow ?? {}).flatMap(([name, list]) =>
    list
      .map((caller, i) => ({ caller, path: ['mesh', 'allow', name, i] }))
      .filter(({ caller }) => !caller.includes('/') && !known.includes(caller))
      .map(({ caller, path }) => unknownName(locate, path, caller, known)),
  )
  const targets = [
    ...Object.keys(file.mesh?.allow ?? {}).map((name) => ['mesh', 'allow', name]),
    ...Object.keys(file.mesh?.calls ?? {}).map((name) => ['mesh', 'calls', name]),
  ].filter((path) => !known.includes(path[2] ?? ''))
  return [
    ...volumes,
    ...sharers,
    ...callers,
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
