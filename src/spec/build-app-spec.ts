import type { AppSpec } from '../model/app-spec.ts'
import type { Recognition } from '../model/build-plan.ts'
import { parseTargetName, type AppRef } from '../model/names.ts'
import type { ResolvedFile } from './app-file-schema.ts'
import { buildProcess, filesOf, plainValues, referencesOf } from './build-process.ts'
import { processSchema, type ProcessInput } from './process-schema.ts'

/** Fills in what the file leaves to defaults and to the recognised source. */
export function buildAppSpec(
  file: ResolvedFile,
  ref: AppRef,
  recognition: Recognition | null,
): AppSpec {
  const recognised = recognition?.plan.kind === 'image' ? recognition.plan.reference : null
  const all = processInputs(file, recognition)
  const processes = Object.entries(all).map(
    ([name, input]) => [name, buildProcess(name, input, { app: ref.app, file, all })] as const,
  )
  const release = file.release ?? null
  return {
    name: ref.app,
    environment: ref.environment,
    target: file.target === undefined ? null : parseTargetName(file.target),
    build: {
      image: file.build.image ?? recognised,
      command: file.build.command ?? null,
      context: file.build.context,
    },
    env: { ...recognition?.env, ...plainValues(file.env) },
    ...referencesOf(file.env),
    ...filesOf(file.files),
    ...(file.secrets === undefined ? {} : { secrets: file.secrets }),
    release: release === null ? null : { command: release.command, timeoutMs: release.timeout },
    processes: Object.fromEntries(processes),
  }
}

function processInputs(
  file: ResolvedFile,
  recognition: Recognition | null,
): Readonly<Record<string, ProcessInput>> {
  if (Object.keys(file.processes).length > 0) return file.processes
  const more = Object.entries(recognition?.processes ?? {}).map(
    ([name, command]) => [name, processSchema.parse({ command })] as const,
  )
  return { web: processSchema.parse({}), ...Object.fromEntries(more) }
}
