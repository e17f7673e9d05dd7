import type { ResolvedFile } from './app-file-schema.ts'
import { isWeb } from './process-kind.ts'
import { cronProblem, isTimeZone } from './cron-schedule.ts'
import type { ProcessInput } from './process-schema.ts'
import type { Problem } from './problem.ts'
import { problemOf, type Locator } from './validate.ts'

/** Keys of one process that contradict each other. */
export function checkProcess(
  name: string,
  process: ProcessInput,
  file: ResolvedFile,
  locate: Locator,
): readonly Problem[] {
  const at: At = (path, message, suggestion) =>
    problemOf(
      locate,
      ['processes', name, ...path],
      message,
      suggestion === undefined ? {} : { suggestion },
    )
  return [
    ...checkHealth(name, process, at),
    ...checkScale(process, at),
    ...checkSchedule(process, at),
    ...checkCanary(process, at),
    ...checkVolumes(name, process, file, locate),
  ]
}

type At = (path: readonly (string | number)[], message: string, suggestion?: string) => Problem

const SCHEDULE_KEYS = ['tz', 'overlap', 'deadline', 'retries', 'catchUp'] as const

function checkHealth(name: string, process: ProcessInput, at: At): readonly Problem[] {
  if (isWeb(name, process)) return []
  return (['ready', 'live'] as const)
    .filter((key) => process.health[key] !== undefined)
    .map((key) =>
      at(
        ['health', key],
        'a worker cannot be asked over HTTP',
        process.schedule === undefined ? `add processes.${name}.port` : undefined,
      ),
    )
}

function checkScale({ scale, schedule }: ProcessInput, at: At): readonly Problem[] {
  const { min, max, on } = scale
  const follows = on?.cpu !== undefined || on?.memory !== undefined
  return [
    ...(max !== undefined && max < min
      ? [at(['scale', 'max'], `scale.max ${max} is less than scale.min ${min}`)]
      : []),
    ...(follows && min === 0
      ? [at(['scale', 'min'], 'scale.on needs an instance whose load it can see: at least 1')]
      : []),
    ...(['cpu', 'memory'] as const)
      .filter((key) => on?.[key] !== undefined && on[key] < 1)
      .map((key) => at(['scale', 'on', key], 'expected a share from 1% to 100%')),
    ...(schedule !== undefined && (min !== 1 || max !== undefined || on !== undefined)
      ? [at(['scale'], 'a scheduled process has no scale: it runs once at its times')]
      : []),
  ]
}

function checkSchedule(process: ProcessInput, at: At): readonly Problem[] {
  const { schedule, tz } = process
  if (schedule === undefined)
    return SCHEDULE_KEYS.filter((key) => process[key] !== undefined).map((key) =>
      at([key], `${key} says nothing without a schedule`),
    )
  const wrong = cronProblem(schedule)
  return [
    ...(process.port !== undefined || process.routes !== undefined
      ? [at(['schedule'], 'a scheduled process has no port and no routes')]
      : []),
    ...(wrong === null ? [] : [at(['schedule'], wrong)]),
    ...(tz === undefined || isTimeZone(tz)
      ? []
      : [at(['tz'], `${JSON.stringify(tz)} is no time zone; one is Europe/Berlin`)]),
    ...(process.peers ? [at(['peers'], 'a scheduled process has no peers')] : []),
  ]
}

function checkCanary({ deploy: { steps = [] } }: ProcessInput, at: At): readonly Problem[] {
  return steps.flatMap((step, i) =>
    step > (steps[i - 1] ?? 0)
      ? []
      : [at(['deploy', 'steps', i], 'expected shares above 0% that rise')],
  )
}

/** A volume that is not shared belongs to one instance: of one process, one at a time. */
function checkVolumes(
  name: string,
  process: ProcessInput,
  file: ResolvedFile,
  locate: Locator,
): readonly Problem[] {
  const mine = Object.entries(file.volumes ?? {}).filter(([, { processes }]) =>
    processes.includes(name),
  )
  const at = (path: readonly string[], message: string): Problem =>
    problemOf(locate, ['processes', name, ...path], message)
  const exclusive = mine.find(([, { shared }]) => !shared)?.[0]
  const { scale, deploy } = process
  const two = deploy.strategy === 'canary' || deploy.strategy === 'bluegreen'
  const many = Math.max(scale.min, scale.max ?? 0) > 1
  const mounts = new Set(mine.map(([, { mount }]) => mount))
  return [
    ...(exclusive !== undefined && many
      ? [at(['scale'], `volume ${exclusive} is not shared, so there is one instance at most`)]
      : []),
    ...(exclusive !== undefined && two
      ? [
          at(
            ['deploy', 'strategy'],
            `volume ${exclusive} is not shared, so old and new cannot run beside each other: recreate is what works`,
          ),
        ]
      : []),
    ...(mounts.size < mine.length
      ? [problemOf(locate, ['volumes'], `two volumes of ${name} have the same mount`)]
      : []),
  ]
}
