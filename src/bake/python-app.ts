import { join } from 'node:path'
import { refKey } from '../model/names.ts'
import type { BuildPlan } from '../model/build-plan.ts'
import { FairwayError } from '../model/errors.ts'
import type { LayerEntry } from '../oci/layer-entry.ts'
import { count, duration, size } from './amounts.ts'
import type { BakedApp, PlacedLayer, SourceJob } from './bake-job.ts'
import { withWorkFolder } from './build-step.ts'
import { folderTree } from './folder-tree.ts'
import { keyedLayer } from './keyed-layer.ts'
import { layerKey } from './layer-key.ts'
import { outputEntries } from './node-build.ts'
import { ownLayer } from './own-layer.ts'
import { writeSource } from './node-dependencies.ts'
import { pythonIdentity, pythonRuntime } from './python-runtime.ts'
import { runToolStep } from './tool-step.ts'
import { shellTools, toolTree } from './tool-tree.ts'

type PythonJob = SourceJob<BuildPlan & { readonly kind: 'python' }>

/** Folder of the installed packages below /app, on PYTHONPATH. */
const PACKAGES = '.python-packages'

/** Layers: base with Python, packages, the app's files. */
export async function bakePython(job: PythonJob): Promise<BakedApp> {
  const boxed = job.request.flavour === 'image'
  const needsRuntime = boxed || job.kitchen.sandbox.flavour === 'image'
  const runtime = needsRuntime ? await pythonRuntime(job) : null
  const python: PythonParts = { runtime, identity: await pythonIdentity(job, runtime) }
  const packages = job.plan.requirements.length === 0 ? [] : [await packageLayer(job, python)]
  const app =
    job.request.spec.build.command === null
      ? await ownLayer(
          job,
          job.tree.entries.filter(({ path }) => !JUNK.test(path)),
        )
      : await builtLayer(job, python)
  const root = boxed ? '/app' : '.'
  return {
    layers: [...(boxed && runtime !== null ? [runtime] : []), ...packages, app],
    command: commandOf(job.plan.command),
    env: {
      PYTHONPATH: boxed ? `${root}:${root}/${PACKAGES}` : `${root}:${PACKAGES}`,
      PYTHONUNBUFFERED: '1',
      PYTHONDONTWRITEBYTECODE: '1',
    },
  }
}

interface PythonParts {
  readonly runtime: PlacedLayer | null
  readonly identity: string
}

/** Programs that packages install are Python scripts in their `bin`; their first line names the build's interpreter. */
function commandOf(command: readonly string[]): readonly string[] {
  const [program = 'python3', ...rest] = command
  if (/^python(?:3(?:\.\d+)?)?$/.test(program)) return ['python3', ...rest]
  if (program.endsWith('.py')) return ['python3', program, ...rest]
  if (program.includes('/')) return command
  return ['python3', `${PACKAGES}/bin/${program}`, ...rest]
}

async function packageLayer(job: PythonJob, python: PythonParts): Promise<PlacedLayer> {
  const { requirements } = job.plan
  const texts = await requirementTexts(job)
  const wholeSource = requirements.includes('.') || texts.some(({ text }) => LOCAL.test(text))
  const key = layerKey('python-packages', {
    requirements,
    texts,
    source: wholeSource ? job.tree.entries : null,
    python: python.identity,
    architecture: job.kitchen.architecture,
  })
  let line = 'unchanged (cached)'
  const placed = await keyedLayer(job, key, 'fast', (add) =>
    withWorkFolder(job, async (folder) => {
      const started = job.kitchen.now()
      await writeSource(job.tree, join(folder, 'app'))
      await pipInstall(job, folder, python)
      const entries = await folderTree(join(folder, 'app', PACKAGES), {
        root: `app/${PACKAGES}`,
        boundary: 'app',
        trusted: folder,
        handOver: true,
      })
      line = `${packageLine(entries)} in ${duration(job.kitchen.now() - started)}`
      return add(entries)
    }),
  )
  job.step(`dependencies: ${line}`)
  return placed
}

/** Lines that name the project itself or folders of the source. */
const LOCAL = /^\s*(?:-e|--editable|\.|file:|[^#\n]*@\s*file:)/m

/** The requirement files and those that they include. @throws FairwayError INVALID_SOURCE */
async function requirementTexts(job: PythonJob): Promise<{ path: string; text: string }[]> {
  const texts = new Map<string, string>()
  const visit = async (path: string): Promise<void> => {
    if (texts.has(path)) return
    const text = await job.tree.readText(path, 16 * 1024 ** 2)
    if (text === null) {
      throw new FairwayError(
        'INVALID_SOURCE',
        `there is no requirements file ${JSON.stringify(path)} in the source`,
      )
    }
    texts.set(path, text)
    const folder = path.includes('/') ? path.slice(0, path.lastIndexOf('/') + 1) : ''
    for (const match of text.matchAll(/^\s*(?:-r|-c|--requirement|--constraint)[\s=]+(\S+)/gm)) {
      const included = match[1] ?? ''
      if (!included.includes('://')) await visit(folder + included)
    }
  }
  for (const path of job.plan.requirements) {
    if (path !== '.') await visit(path)
    else for (const file of PROJECT_FILES) if (job.tree.file(file) !== null) await visit(file)
  }
  return [...texts].map(([path, text]) => ({ path, text }))
}

const PROJECT_FILES = ['pyproject.toml', 'setup.py', 'setup.cfg'] as const

/** Byte code is compiled here, unchecked by time stamps: an image's files have none, and its root is read-only. */
async function pipInstall(job: PythonJob, folder: string, python: PythonParts): Promise<void> {
  const { requirements } = job.plan
  const wanted = requirements.flatMap((path) => (path === '.' ? ['.'] : ['-r', path]))
  const pip = [
    'python3',
    '-m',
    'pip',
    'install',
    '--target',
    PACKAGES,
    '--no-compile',
    '--prefer-binary',
  ]
  const shared = { folder, layers: layersOf(python), failure: 'INSTALL_FAILED' } as const
  await runToolStep(job, {
    ...shared,
    name: 'pip install',
    tools: [await pipTree(job), ...(await shellTools(job))],
    argv: [
      ...pip,
      '--no-warn-script-location',
      '--disable-pip-version-check',
      '--progress-bar=off',
      ...wanted,
    ],
    env: { PYTHONDONTWRITEBYTECODE: '1' },
    network: true,
    // Wheels built from sources stay in pip's cache: an app must not be able to put one there for another.
    cache: { variable: 'PIP_CACHE_DIR', name: `pip/${refKey(job.request.ref)}` },
  })
  await runToolStep(job, {
    ...shared,
    name: 'python3 -m compileall',
    tools: [],
    argv: ['python3', '-m', 'compileall', '-qq', '--invalidation-mode', 'unchecked-hash', PACKAGES],
    network: false,
  }).catch((error: unknown) => {
    // Some packages ship templates that are no valid Python of this version; they work without byte code.
    if (!(error instanceof FairwayError) || error.code !== 'INSTALL_FAILED') throw error
  })
}

async function pipTree(job: PythonJob): Promise<string> {
  if (job.kitchen.sandbox.flavour === 'host') return ''
  return toolTree(
    job,
    'pip',
    ['python3-pip', 'python3-setuptools', 'python3-wheel'],
    ['debconf', 'dpkg', 'perl', 'ca-certificates', 'openssl', 'base-files', 'media-types'],
  )
}

function packageLine(entries: readonly LayerEntry[]): string {
  const number = entries.filter(({ path }) =>
    /^app\/[^/]+\/[^/]+\.dist-info\/METADATA$/.test(path),
  ).length
  return `pip install, ${count(number, 'package')}, ${size(bytesOf(entries))}`
}

function bytesOf(entries: readonly LayerEntry[]): number {
  return entries.reduce(
    (sum, entry) =>
      sum + (entry.type === 'file' && 'size' in entry.content ? entry.content.size : 0),
    0,
  )
}

/** Virtual environments belong to the machine that made them. */
const JUNK = /(?:^|\/)(?:\.venv|venv|__pycache__|\.pytest_cache|\.mypy_cache)\//

async function builtLayer(job: PythonJob, python: PythonParts): Promise<PlacedLayer> {
  const { command } = job.request.spec.build
  const key = layerKey('python-built', {
    source: job.tree.entries,
    command,
    env: job.request.spec.env,
    requirements: job.plan.requirements,
    python: python.identity,
  })
  return keyedLayer(job, key, 'fast', (add) =>
    withWorkFolder(job, async (folder) => {
      const app = join(folder, 'app')
      await writeSource(job.tree, app)
      if (job.plan.requirements.length > 0) await pipInstall(job, folder, python)
      await runToolStep(job, {
        name: (command ?? []).join(' '),
        failure: 'BAKE_FAILED',
        folder,
        tools: await shellTools(job),
        layers: layersOf(python),
        argv: command ?? [],
        env: { ...job.request.spec.env, PYTHONPATH: `.:${PACKAGES}`, PYTHONDONTWRITEBYTECODE: '1' },
        network: true,
      })
      const all = await outputEntries(app, 'app', folder)
      const entries = all.filter(
        ({ path }) => !path.startsWith(`app/${PACKAGES}`) && !JUNK.test(path),
      )
      job.step(`app: ${count(entries.length, 'file')}, ${size(bytesOf(entries))}`)
      return add(entries)
    }),
  )
}

function layersOf(python: PythonParts): readonly PlacedLayer[] {
  return python.runtime === null ? [] : [python.runtime]
}
