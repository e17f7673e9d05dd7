import type { BuildPlan, Recognition } from '../model/build-plan.ts'
import { FairwayError } from '../model/errors.ts'
import { recogniseBinary } from './recognise-binary.ts'
import { recogniseArchive } from './recognise-archive.ts'
import { recogniseJar } from './recognise-jar.ts'
import { recogniseNode } from './recognise-node.ts'
import { recognisePython } from './recognise-python.ts'
import { recogniseStatic } from './recognise-static.ts'
import { readProcfile, type Procfile } from './procfile.ts'
import { below, type SourceView } from './source-view.ts'

type Kind = Exclude<BuildPlan['kind'], 'image'>

export interface RecogniseOptions {
  /** Folder inside the source, default '.'. Paths of the plan are relative to it. */
  readonly context?: string
  /** `build.kind` of the app file: the only kind that is tried. */
  readonly kind?: Kind | null
  /** argv of the process `web` in the app file: decides where a source could be several things. */
  readonly command?: readonly string[] | null
}

/** What a detector is given. */
export interface Clues {
  readonly view: SourceView
  /** Start command that people wrote down (app file, else Procfile), or null. */
  readonly command: readonly string[] | null
}

export interface Detector {
  readonly kind: Kind
  /** For the error that lists what was looked for. */
  readonly looksFor: string
  detect(clues: Clues): Promise<Recognition | null>
}

/** Tiers in order: the first tier in which something is found decides; two finds in one tier are an error. */
const TIERS: readonly (readonly Detector[])[] = [
  [...recogniseArchive],
  [recogniseNode, recognisePython, recogniseJar],
  [recogniseBinary],
  [recogniseStatic],
]

/**
 * What a source is, by its files alone; nothing of it is run.
 * @throws FairwayError UNRECOGNISED_SOURCE naming everything that was looked for, or the kinds between which it cannot decide
 */
export async function recognise(
  source: SourceView,
  options: RecogniseOptions = {},
): Promise<Recognition> {
  const { context = '.', kind = null, command = null } = options
  const view = below(source, context)
  if (view.paths().length === 0) {
    const where = context === '.' ? 'the source' : `the folder ${context} (build.context)`
    throw new FairwayError('UNRECOGNISED_SOURCE', `${where} is empty`)
  }
  const procfile = await readProcfile(view)
  const clues: Clues = { view, command: command ?? procfile?.web ?? null }
  for (const tier of TIERS) {
    const detectors = tier.filter((detector) => kind === null || detector.kind === kind)
    const found = await detectAll(detectors, clues)
    const chosen = found.length > 1 ? choose(found, clues.command) : found[0]
    if (chosen !== undefined) return withProcfile(chosen, command === null ? procfile : null)
  }
  throw unrecognised(view, kind, clues.command)
}

async function detectAll(
  detectors: readonly Detector[],
  clues: Clues,
): Promise<readonly Recognition[]> {
  const found: Recognition[] = []
  for (const detector of detectors) {
    const recognition = await detector.detect(clues)
    if (recognition !== null) found.push(recognition)
  }
  return found
}

const PROGRAMS: Readonly<Record<string, RegExp>> = {
  node: /^(?:node|npm|npx|yarn|pnpm|tsx|next|nuxt)$/,
  python:
    /^(?:python3?(?:\.\d+)?|gunicorn|uvicorn|hypercorn|daphne|waitress-serve|flask|django-admin|datasette|celery)$/,
  jar: /^java$/,
}

function choose(found: readonly Recognition[], command: readonly string[] | null): Recognition {
  const program = command?.[0]?.split('/').at(-1)
  const chosen = found.find(
    ({ plan }) => program !== undefined && PROGRAMS[plan.kind]?.test(program) === true,
  )
  if (chosen !== undefined) return chosen
  const kinds = found.map(({ plan, evidence }) => `${plan.kind} (${evidence})`)
  const choices = found.map(({ plan }) => plan.kind).join(' or ')
  throw new FairwayError('UNRECOGNISED_SOURCE', `this could be ${kinds.join(' or ')}`, {
    hint: `Write fairway.yaml with \`version: 1\` and \`build: { kind: … }\`, where … is ${choices}.`,
    details: { kinds: found.map(({ plan }) => plan.kind) },
  })
}

function withProcfile(found: Recognition, procfile: Procfile | null): Recognition {
  if (procfile === null) return found
  const { web, workers, notes } = procfile
  return {
    ...found,
    evidence: web === null ? found.evidence : `${found.evidence}, Procfile`,
    ...(Object.keys(workers).length === 0 ? {} : { processes: workers }),
    ...(notes.length === 0 ? {} : { notes: [...(found.notes ?? []), ...notes] }),
  }
}

function unrecognised(
  view: SourceView,
  kind: Kind | null,
  command: Clues['command'],
): FairwayError {
  const detectors = TIERS.flat().filter((detector) => kind === null || detector.kind === kind)
  const top = [...new Set(view.paths().map((path) => path.split('/')[0] ?? ''))]
  const seen = top.slice(0, 8).join(', ') + (top.length > 8 ? `, … (${top.length})` : '')
  const lines = detectors.map((detector) => `  ${detector.kind}: ${detector.looksFor}`)
  return new FairwayError(
    'UNRECOGNISED_SOURCE',
    `${command === null ? 'nothing here says how to run it' : `nothing here fits the command ${JSON.stringify(command[0])}`} (found ${seen}). Looked for:\n${lines.join('\n')}`,
    { details: { lookedFor: detectors.map((detector) => detector.looksFor) } },
  )
}
