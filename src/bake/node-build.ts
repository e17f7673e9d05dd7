import { join } from 'node:path'
import { count, duration, size } from './amounts.ts'
import { forbiddenPart, holdsPrivateKey, mayHoldKey } from './app-tree.ts'
import type { PlacedLayer } from './bake-job.ts'
import { withWorkFolder } from './build-step.ts'
import { folderTree } from './folder-tree.ts'
import { addLayer, keyedLayer, knownLayer } from './keyed-layer.ts'
import { layerKey } from './layer-key.ts'
import {
  install,
  installedEntries,
  installInputs,
  inNodeModules,
  writeSource,
  type NodeJob,
  type NodeProject,
} from './node-dependencies.ts'
import { runNodeStep, type NodeWork } from './node-step.ts'
import type { PackageManager } from './package-manager.ts'

/**
 * Full install, build command or `build` script, then without development dependencies: node_modules and the app's files as two
 * layers, both found again while source and tools are the same.
 * @throws FairwayError INSTALL_FAILED, BAKE_FAILED
 */
export async function builtLayers(
  job: NodeJob,
  project: NodeProject,
): Promise<readonly PlacedLayer[]> {
  const inputs = { ...(await installInputs(job, project)), ...buildInputs(job) }
  const keys = { modules: layerKey('built-modules', inputs), app: layerKey('built-app', inputs) }
  const modules = await knownLayer(job, keys.modules)
  const app = await knownLayer(job, keys.app)
  if (modules !== null && app !== null) {
    job.step('build: unchanged (cached)')
    return [modules, app]
  }
  return withWorkFolder(job, async (folder) => {
    const started = job.kitchen.now()
    const work = await install(job, folder, project, { production: false, wholeSource: true })
    const { name } = project.manager
    job.step(
      `dependencies: ${name} with development tools in ${duration(job.kitchen.now() - started)}`,
    )
    await build(job, work)
    await pruneDevelopment(job, work)
    const entries = await installedEntries(folder, project.manager)
    return [
      await addLayer(job, entries, { level: 'fast', key: keys.modules }),
      await outputLayer(job, folder, keys.app),
    ]
  })
}

/** The same for a source without lockfile: its files after the build command, without node_modules, which is a layer of its own. */
export async function builtLayer(
  job: NodeJob,
  node: {
    readonly nodeMajor: number
    readonly nodeVersion: string
    readonly manager: PackageManager
  },
): Promise<PlacedLayer> {
  const key = layerKey('built-app', { ...buildInputs(job), node: node.nodeVersion })
  return keyedLayer(job, key, 'fast', () =>
    withWorkFolder(job, async (folder) => {
      await writeSource(job.tree, join(folder, 'app'), { modules: true })
      await build(job, { folder, ...node })
      return outputLayer(job, folder, key)
    }),
  )
}

/** What a build leaves, without what must never enter an image. */
export async function outputEntries(
  folder: string,
  root: string,
  trusted: string,
): ReturnType<typeof folderTree> {
  const entries = await folderTree(folder, {
    root,
    trusted,
    handOver: true,
    choose: (path) => !inNodeModules(path) && forbiddenPart(path) === null,
  })
  const secret = new Set<string>()
  for (const entry of entries) {
    if (entry.type !== 'file' || !('file' in entry.content) || !mayHoldKey(entry.path)) continue
    if (await holdsPrivateKey(entry.content.file)) secret.add(entry.path)
  }
  return entries.filter(({ path }) => !secret.has(path))
}

/** Runs `build.command`, else the `build` script. */
export async function build(job: NodeJob, work: NodeWork): Promise<void> {
  const { command } = job.request.spec.build
  const started = job.kitchen.now()
  const name = command === null ? `${work.manager.name} run build` : command.join(' ')
  await runNodeStep(job, work, {
    name,
    failure: 'BAKE_FAILED',
    ...(command === null ? { manager: ['run', 'build'] } : { program: command }),
    sharedCache: false,
    shell: true,
    env: job.request.spec.env,
  })
  job.step(`build: ${name} in ${duration(job.kitchen.now() - started)}`)
}

function buildInputs(job: NodeJob): Record<string, unknown> {
  const { build: spec, env } = job.request.spec
  return { source: job.tree.entries, command: spec.command, env }
}

async function pruneDevelopment(job: NodeJob, work: NodeWork): Promise<void> {
  const args = work.manager.prune ?? work.manager.install({ production: true })
  await runNodeStep(job, work, {
    name: `${work.manager.name} ${args[0] ?? ''}`,
    failure: 'INSTALL_FAILED',
    manager: args,
    sharedCache: work.manager.prune === null,
    shell: false,
  })
}

async function outputLayer(job: NodeJob, folder: string, key: string): Promise<PlacedLayer> {
  const entries = await outputEntries(join(folder, 'app'), 'app', folder)
  const files = entries.filter(({ type }) => type !== 'directory')
  const bytes = files.reduce(
    (sum, entry) =>
      sum + (entry.type === 'file' && 'size' in entry.content ? entry.content.size : 0),
    0,
  )
  job.step(`app: ${count(files.length, 'file')}, ${size(bytes)}`)
  return addLayer(job, entries, { level: 'fast', key })
}
