import type { AppSpec } from '../model/app-spec.ts'
import type { Recognition } from '../model/build-plan.ts'
import { FairwayError } from '../model/errors.ts'
import type { AppRef } from '../model/names.ts'
import { appFileSchema, resolvedSchema, type ResolvedFile } from './app-file-schema.ts'
import { buildAppSpec } from './build-app-spec.ts'
import { ownsVolume } from './build-process.ts'
import type { ProcessInput } from './process-schema.ts'
import { checkMeaning } from './check-meaning.ts'
import { readDocument, type AppDocument } from './document.ts'
import { findLaterKeys, refuseLaterKeys, type LaterKey } from './later-keys.ts'
import { isJsonObject, mergePatch, type Json } from './merge-patch.ts'
import { invalidAppFile, type Problem } from './problem.ts'
import { resolveReferences } from './references.ts'
import { locator, validate } from './validate.ts'

export interface AppFileText {
  /** As people know it: 'fairway.yaml', 'services/shop/fairway.yaml'. */
  readonly path: string
  readonly text: string
}

export interface ResolveRequest {
  /** Null = no app file: everything is a default or recognised. */
  readonly file: AppFileText | null
  readonly ref: AppRef
  readonly recognition: Recognition | null
  /** Engine named when a key is refused; null = later keys are not refused (see `laterKeys`). Default 'machine'. */
  readonly engine?: string | null
}

export interface ResolvedApp {
  readonly spec: AppSpec
  readonly warnings: readonly string[]
}

/**
 * App file to AppSpec: YAML, overlay of the environment (RFC 7386), references, defaults. Every environment of the file is checked,
 * not only the one asked for.
 * @throws FairwayError INVALID_APP_FILE with all problems and their positions (details.problems), UNSUPPORTED_KEY, UNRECOGNISED_SOURCE
 */
export function resolveAppFile(request: ResolveRequest): ResolvedApp {
  const { file, ref, recognition, engine = 'machine' } = request
  if (file === null && recognition === null)
    throw new FairwayError(
      'UNRECOGNISED_SOURCE',
      'there is neither an app file nor a recognised source',
    )
  const { path, document, resolved, merged } = readAppFile(file, ref)
  if (engine !== null)
    refuseLaterKeys(findLaterKeys(merged, document, ref.environment), path, engine)
  return {
    spec: buildAppSpec(resolved, ref, recognition),
    warnings: warningsOf(resolved, ref, document),
  }
}

/** What the app file says about the source, for `recognise`. @throws FairwayError INVALID_APP_FILE */
export function recognitionHints(
  file: AppFileText | null,
  ref: AppRef,
): {
  readonly image: string | null
  readonly context: string
  readonly kind: NonNullable<ResolvedFile['build']['kind']> | null
  /** argv of the process `web`, or of the only process. */
  readonly command: readonly string[] | null
} {
  const { resolved } = readAppFile(file, ref)
  const { image = null, context, kind = null } = resolved.build
  const processes = Object.values(resolved.processes)
  const web = resolved.processes['web'] ?? (processes.length === 1 ? processes[0] : undefined)
  return { image, context, kind, command: web?.command ?? null }
}

/** Name that the file gives the app, null where it gives none. @throws FairwayError INVALID_APP_FILE where the file is no valid YAML */
export function readAppName(file: AppFileText): string | null {
  const document = readDocument(file.text)
  if (document.problems.length > 0) throw invalidAppFile(file.path, document.problems)
  const name = isJsonObject(document.data) ? document.data['name'] : undefined
  return typeof name === 'string' ? name : null
}

/** Encrypted files that the file names for the environment. @throws FairwayError INVALID_APP_FILE */
export function readSecretPaths(file: AppFileText, ref: AppRef): readonly string[] {
  return readAppFile(file, ref).resolved.secrets ?? []
}

/** Keys of the file, in this environment, that no engine honours yet. @throws FairwayError INVALID_APP_FILE */
export function laterKeys(file: AppFileText, ref: AppRef): readonly LaterKey[] {
  const { document, merged } = readAppFile(file, ref)
  return findLaterKeys(merged, document, ref.environment)
}

/** Where a dotted key of the file stands, the overlay of the environment first; for one that is not there its nearest parent. */
export function positionOf(file: AppFileText, ref: AppRef, key: string): string {
  const { document } = readAppFile(file, ref)
  const { line, column } = locator(document, ref.environment)(key.split('.'), 'key')
  return `${file.path}:${line}:${column}`
}

interface ReadFile {
  readonly path: string
  readonly document: AppDocument
  readonly resolved: ResolvedFile
  readonly merged: Json
}

function readAppFile(file: AppFileText | null, ref: AppRef): ReadFile {
  const { path, text } = file ?? { path: 'fairway.yaml', text: 'version: 1\n' }
  const document = readDocument(text)
  if (document.problems.length > 0) throw invalidAppFile(path, document.problems)
  const locate = locator(document, null)
  const outside = validate(
    appFileSchema,
    resolveReferences(document.data, ref, locate).data,
    locate,
  )
  const names = isJsonObject(document.data) ? environmentNames(document.data) : []
  const checks = [null, ...new Set([...names, ref.environment])].map((environment) => ({
    environment,
    ...check(document, environment, ref),
  }))
  const problems = [
    ...(outside.ok ? [] : outside.problems),
    ...checks.flatMap((result) => result.problems),
  ]
  const mine = checks.find(({ environment }) => environment === ref.environment)
  if (problems.length > 0 || mine?.resolved === undefined || mine.resolved === null)
    throw invalidAppFile(path, problems)
  return { path, document, resolved: mine.resolved, merged: mine.merged }
}

function check(
  document: AppDocument,
  environment: string | null,
  ref: AppRef,
): {
  readonly resolved: ResolvedFile | null
  readonly merged: Json
  readonly problems: readonly Problem[]
} {
  const merged = mergedFor(document.data, environment)
  const locate = locator(document, environment)
  const scope = { app: ref.app, environment: environment ?? ref.environment }
  const references = resolveReferences(merged, scope, locate)
  const checked = validate(resolvedSchema, references.data, locate)
  if (!checked.ok)
    return { resolved: null, merged, problems: [...references.problems, ...checked.problems] }
  const problems = [...references.problems, ...checkMeaning(checked.value, locate)]
  return { resolved: checked.value, merged, problems }
}

function mergedFor(data: Json, environment: string | null): Json {
  if (!isJsonObject(data)) return data
  const { environments, ...outside } = data
  const overlay =
    environment !== null && isJsonObject(environments) ? environments[environment] : undefined
  return overlay === undefined || overlay === null ? outside : mergePatch(outside, overlay)
}

function environmentNames(data: Readonly<Record<string, Json>>): readonly string[] {
  const { environments } = data
  return isJsonObject(environments) ? Object.keys(environments) : []
}

function warningsOf(file: ResolvedFile, ref: AppRef, document: AppDocument): readonly string[] {
  const warnings: string[] = []
  if (file.name !== undefined && file.name !== ref.app)
    warnings.push(`the app file is called ${file.name}; it is deployed as ${ref.app}`)
  const environments = isJsonObject(document.data) ? environmentNames(document.data) : []
  if (environments.length > 0 && !environments.includes(ref.environment))
    warnings.push(
      `the app file has no environment ${ref.environment} (it has ${environments.join(', ')}): its values outside of environments are used`,
    )
  for (const [name, process] of Object.entries(file.processes))
    warnings.push(...processWarnings(name, process, file))
  return warnings
}

function processWarnings(
  name: string,
  { scale, deploy }: ProcessInput,
  file: ResolvedFile,
): readonly string[] {
  const { strategy } = deploy
  const idle = (['steps', 'pause', 'analysis'] as const).filter((key) => deploy[key] !== undefined)
  return [
    ...(scale.max !== undefined && scale.max > scale.min && scale.on === undefined
      ? [`processes.${name}.scale.max has no effect without scale.on: ${scale.min} instances run`]
      : []),
    ...(strategy === 'canary' || idle.length === 0
      ? []
      : [`processes.${name}.deploy: ${idle.join(', ')} only say something to the strategy canary`]),
    ...(strategy === 'bluegreen' || deploy.keep === undefined
      ? []
      : [`processes.${name}.deploy.keep only says something to the strategy bluegreen`]),
    ...(strategy === 'rolling' && ownsVolume(name, file)
      ? [
          `processes.${name} has a volume that is not shared: a deploy stops the old instance before the new one starts`,
        ]
      : []),
  ]
}
