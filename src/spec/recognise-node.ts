import { FairwayError } from '../model/errors.ts'
import { nodeMajor, programFile, readPackageJson, type PackageJson } from './package-json.ts'
import type { Clues, Detector } from './recognise.ts'
import type { SourceView } from './source-view.ts'
import { splitCommand } from './split-command.ts'

const LOCKFILES = ['package-lock.json', 'npm-shrinkwrap.json', 'yarn.lock', 'pnpm-lock.yaml']
const ENTRIES = [
  'server.js',
  'index.js',
  'app.js',
  'main.js',
  'server.mjs',
  'index.mjs',
  'server.ts',
  'index.ts',
]

export const recogniseNode: Detector = {
  kind: 'node',
  looksFor: `package.json with a start script or main; ${ENTRIES.slice(0, 4).join(', ')}`,
  async detect(clues) {
    const { view } = clues
    const manifest = await readPackageJson(view)
    const lockfile = await findLockfile(view, manifest)
    const start = await findStart(clues, manifest)
    if (start === null) return null
    const resolved = await withoutPackageManager(start, manifest, view)
    const notes = notesOf(start.from, resolved.argv, manifest, view)
    return {
      plan: {
        kind: 'node',
        version: await wantedNode(view, manifest),
        lockfile,
        command: resolved.argv,
      },
      evidence: start.from,
      ...(Object.keys(resolved.env).length === 0 ? {} : { env: resolved.env }),
      ...(notes.length === 0 ? {} : { notes }),
    }
  },
}

/** A command of the app file as it runs in an image that has node and nothing else: see `withoutPackageManager`. @throws FairwayError UNRECOGNISED_SOURCE */
export async function nodeCommand(
  argv: readonly string[],
  view: SourceView,
): Promise<Pick<Start, 'argv' | 'env'>> {
  const start = { argv, env: {}, from: 'the command' }
  return withoutPackageManager(start, await readPackageJson(view), view)
}

interface Start {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly from: string
}

async function findStart(clues: Clues, manifest: PackageJson | null): Promise<Start | null> {
  const { view, command } = clues
  if (command !== null && (manifest !== null || /^(?:node|npm|npx)$/.test(command[0] ?? '')))
    return { argv: command, env: {}, from: manifest === null ? 'start command' : 'package.json' }
  const script = manifest?.scripts['start']
  if (script !== undefined)
    return {
      ...parseScript('start', script),
      from: `package.json with start script "${shorten(script)}"`,
    }
  return manifest === null ? bareEntry(view) : entryOf(manifest, view)
}

function entryOf(manifest: PackageJson, view: SourceView): Start | null {
  const paths = new Set(view.paths())
  const main = mainFile(manifest, paths)
  if (main !== null)
    return { argv: ['node', main], env: {}, from: `package.json with main ${main}` }
  const entry = ENTRIES.find((path) => paths.has(path))
  return entry === undefined
    ? null
    : { argv: ['node', entry], env: {}, from: `package.json, ${entry}` }
}

/** Without package.json, index.js may just as well be the script of a static page: only a file that listens counts. */
async function bareEntry(view: SourceView): Promise<Start | null> {
  const paths = new Set(view.paths())
  const entry = ENTRIES.find((path) => paths.has(path))
  if (entry === undefined || paths.has('index.html')) return null
  const text = (await view.readText(entry)) ?? ''
  if (!/listen\s*\(|createServer|serve\s*\(/.test(text)) return null
  return { argv: ['node', entry], env: {}, from: `${entry} that listens` }
}

function mainFile(manifest: PackageJson, paths: ReadonlySet<string>): string | null {
  const main = manifest.main?.replace(/^\.\//, '').replace(/\/$/, '')
  if (main === undefined || main === '') return null
  return [main, `${main}.js`, `${main}/index.js`].find((path) => paths.has(path)) ?? null
}

/** 'NODE_ENV=production node server.js' to variables and argv. */
function parseScript(name: string, script: string): Pick<Start, 'argv' | 'env'> {
  const env: Record<string, string> = {}
  let rest = script.trim().replace(/^cross-env\s+/, '')
  for (;;) {
    const match = /^([A-Za-z_]\w*)=([^\s'"$`\\]*|'[^']*'|"[^"$`\\]*")\s+/.exec(rest)
    if (match === null) break
    env[match[1] ?? ''] = (match[2] ?? '').replace(/^(['"])(.*)\1$/, '$2')
    rest = rest.slice(match[0].length)
  }
  const split = splitCommand(rest)
  if (split.ok) return { argv: split.argv, env }
  throw new FairwayError(
    'UNRECOGNISED_SOURCE',
    `the script "${name}" of package.json cannot run as it is ("${shorten(script)}"): ${split.reason}`,
    {
      hint: 'Write a Procfile or fairway.yaml with one plain command, such as "web: node server.js".',
    },
  )
}

/**
 * `npm start` and `npm run x` become the script; a program of a dependency becomes `node <its file>`: images have neither npm nor a shell,
 * and the first process of an instance shall be the app itself.
 */
async function withoutPackageManager(
  start: Start,
  manifest: PackageJson | null,
  view: SourceView,
  depth = 0,
): Promise<Start> {
  const [program = '', ...rest] = start.argv
  const script = scriptName(start.argv)
  const text = script === null ? undefined : manifest?.scripts[script]
  if (script !== null && text !== undefined && depth < 5) {
    const inner = parseScript(script, text)
    const more = rest.slice(rest.indexOf(script) + 1).filter((word) => word !== '--')
    const next = { ...start, argv: [...inner.argv, ...more], env: { ...start.env, ...inner.env } }
    return withoutPackageManager(next, manifest, view, depth + 1)
  }
  if (script !== null)
    throw new FairwayError(
      'UNRECOGNISED_SOURCE',
      `package.json has no script "${script}" that ${start.argv.join(' ')} could run`,
    )
  if (program === 'npx' || program === 'exec')
    return { ...start, argv: await programOf(rest, view) }
  if (program.includes('/') || /^(?:node|sh|bash|dash|env)$/.test(program)) return start
  if (/\.[cm]?[jt]s$/.test(program)) return { ...start, argv: ['node', ...start.argv] }
  return { ...start, argv: await programOf(start.argv, view) }
}

/** Name of the script that 'npm start', 'npm run x', 'yarn x' or 'pnpm x' names; null for anything else. */
function scriptName(argv: readonly string[]): string | null {
  const [program = '', ...rest] = argv
  if (!/^(?:npm|yarn|pnpm)$/.test(program)) return null
  const words = rest.filter((word) => !word.startsWith('-'))
  return (words[0] === 'run' || words[0] === 'run-script' ? words[1] : words[0]) ?? null
}

async function programOf(argv: readonly string[], view: SourceView): Promise<readonly string[]> {
  const [program = '', ...rest] = argv
  const file = programFile(program, await view.readText('package-lock.json'))
  return ['node', file ?? `node_modules/.bin/${program}`, ...rest]
}

async function findLockfile(
  view: SourceView,
  manifest: PackageJson | null,
): Promise<string | null> {
  const paths = view.paths()
  const found = LOCKFILES.filter((file) => paths.includes(file))
  const wanted = Object.keys(manifest?.dependencies ?? {}).length
  if (manifest === null || found.length > 0) return Promise.resolve(found[0] ?? null)
  if (wanted === 0 || paths.some((path) => path.startsWith('node_modules/'))) return null
  throw new FairwayError(
    'UNRECOGNISED_SOURCE',
    `package.json has ${wanted} ${wanted === 1 ? 'dependency' : 'dependencies'} and there is no lockfile (${LOCKFILES.join(', ')})`,
    {
      hint: 'Run `npm install` and deploy again: package-lock.json says which versions are meant.',
    },
  )
}

/** engines.node, else .nvmrc, else .node-version. */
async function wantedNode(view: SourceView, manifest: PackageJson | null): Promise<number | null> {
  const { node } = manifest?.engines ?? {}
  if (node !== undefined) return nodeMajor(node)
  const text = (await view.readText('.nvmrc')) ?? (await view.readText('.node-version'))
  return text === null ? null : nodeMajor(text.trim())
}

function notesOf(
  from: string,
  argv: readonly string[],
  manifest: PackageJson | null,
  view: SourceView,
): readonly string[] {
  const file = argv
    .slice(1)
    .find((word) => !word.startsWith('-'))
    ?.replace(/^\.\//, '')
  const local = argv[0] === 'node' && file !== undefined && !file.startsWith('node_modules/')
  if (!local || view.paths().some((path) => path === file || path === `${file}.js`)) return []
  const build = manifest?.scripts['build']
  const hint =
    build === undefined ? '' : '; does fairway.yaml need `build: { command: npm run build }`?'
  return [`${from} starts ${file}, which is not in the source${hint}`]
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 59)}…` : text
}
