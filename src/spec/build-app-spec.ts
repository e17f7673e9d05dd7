import type { AppSpec, ProcessSpec, RouteSpec } from '../model/app-spec.ts'
import type { Recognition } from '../model/build-plan.ts'
import { parseProcessName, type AppRef } from '../model/names.ts'
import type { ResolvedFile } from './app-file-schema.ts'
import { isWeb } from './check-meaning.ts'
import { processSchema, type ProcessInput } from './process-schema.ts'

/** Fills in what the file leaves to defaults and to the recognised source. */
export function buildAppSpec(
  file: ResolvedFile,
  ref: AppRef,
  recognition: Recognition | null,
): AppSpec {
  const recognised = recognition?.plan.kind === 'image' ? recognition.plan.reference : null
  const inputs = processInputs(file, recognition)
  const processes = Object.entries(inputs).map(
    ([name, input]) => [name, buildProcess(name, input, inputs)] as const,
  )
  const release = file.release ?? null
  return {
    name: ref.app,
    environment: ref.environment,
    build: {
      image: file.build.image ?? recognised,
      command: file.build.command ?? null,
      context: file.build.context,
    },
    env: { ...recognition?.env, ...plainValues(file.env) },
    release: release === null ? null : { command: release.command, timeoutMs: release.timeout },
    processes: Object.fromEntries(processes),
  }
}

type Inputs = Readonly<Record<string, ProcessInput>>

function processInputs(file: ResolvedFile, recognition: Recognition | null): Inputs {
  if (Object.keys(file.processes).length > 0) return file.processes
  const more = Object.entries(recognition?.processes ?? {}).map(
    ([name, command]) => [name, processSchema.parse({ command })] as const,
  )
  return { web: processSchema.parse({}), ...Object.fromEntries(more) }
}

function buildProcess(name: string, input: ProcessInput, all: Inputs): ProcessSpec {
  const web = isWeb(name, input)
  const { health, shutdown, resources, scale, deploy } = input
  return {
    name: parseProcessName(name),
    type: web ? 'web' : 'worker',
    command: input.command ?? null,
    env: plainValues(input.env ?? {}),
    port: web ? (input.port ?? null) : null,
    routes: web ? buildRoutes(name, input, all) : [],
    health: {
      ready: health.ready ?? null,
      startMs: health.start,
      intervalMs: health.check.interval,
      timeoutMs: health.check.timeout,
      failures: health.check.failures,
    },
    shutdown: { signal: shutdown.signal, drainMs: shutdown.drain, stopMs: shutdown.stop },
    resources: { cpu: resources.cpu, memory: resources.memory, pids: resources.pids },
    scale: { min: scale.min, max: Math.max(scale.min, scale.max ?? scale.min) },
    strategy: deploy.strategy === 'recreate' ? 'recreate' : 'rolling',
    maxAgeMs: input.maxAge ?? null,
  }
}

/** `routes: {}` means none; without the key the process `web`, or the only web process, gets the default host. */
function buildRoutes(name: string, input: ProcessInput, all: Inputs): readonly RouteSpec[] {
  if (input.routes !== undefined)
    return Object.values(input.routes).map(({ host = null, path }) => ({ host, path }))
  const webs = Object.entries(all).filter(([other, process]) => isWeb(other, process))
  const main = webs.length === 1 || name === 'web'
  return main ? [{ host: null, path: '/' }] : []
}

/** Secrets by name are refused before an engine sees the spec, so only plain values are left. */
function plainValues(values: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).flatMap(([key, value]) =>
      typeof value === 'string' ? [[key, value]] : [],
    ),
  )
}
