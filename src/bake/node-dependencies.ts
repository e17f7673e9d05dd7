import { chmod, copyFile, mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { readIfExists } from '../lib/atomic-file.ts'
import type { BuildPlan } from '../model/build-plan.ts'
import type { LayerEntry } from '../oci/layer-entry.ts'
import { count, duration, size } from './amounts.ts'
import type { AppTree } from './app-tree.ts'
import type { PlacedLayer, SourceJob } from './bake-job.ts'
import { withWorkFolder } from './build-step.ts'
import { folderTree } from './folder-tree.ts'
import { keyedLayer } from './keyed-layer.ts'
import { layerKey } from './layer-key.ts'
import { runNodeStep, type NodeWork } from './node-step.ts'
import type { PackageManager } from './package-manager.ts'
import { INSTALL_SCRIPTS, type PackageManifest } from './package-manifest.ts'

export type NodeJob = SourceJob<BuildPlan & { readonly kind: 'node' | 'static' }>

/** What decides an install, read once. */
export interface NodeProject {
  readonly manifest: PackageManifest
  readonly lockfile: string
  readonly manager: PackageManager
  readonly nodeMajor: number
  readonly nodeVersion: string
}

/**
 * The production dependencies of a project with a lockfile, as one layer that is found again while nothing that decides the
 * install has changed.
 * @throws FairwayError INSTALL_FAILED with what the package manager printed
 */
export async function dependencyLayer(job: NodeJob, project: NodeProject): Promise<PlacedLayer> {
  const key = layerKey('node-modules', await installInputs(job, project))
  let line = 'unchanged (cached)'
  const placed = await keyedLayer(job, key, 'fast', (add) =>
    withWorkFolder(job, async (folder) => {
      const started = job.kitchen.now()
      await install(job, folder, project, { production: true })
      const entries = await installedEntries(folder, project.manager)
      line = `${installLine(project.manager, entries)} in ${duration(job.kitchen.now() - started)}`
      return add(entries)
    }),
  )
  job.step(`dependencies: ${line}`)
  return placed
}

/** Everything that decides what an install makes, for keys. */
export async function installInputs(
  job: NodeJob,
  project: NodeProject,
): Promise<Record<string, unknown>> {
  const { sandbox, architecture } = job.kitchen
  const texts: (string | null)[] = []
  for (const path of [project.lockfile, ...CONFIG_FILES])
    texts.push(await job.tree.readText(path, LOCKFILE_LIMIT))
  return {
    texts,
    manifest: project.manifest.installInputs,
    manager: `${project.manager.name}@${project.manager.version}`,
    node: project.nodeVersion,
    machine: sandbox.flavour === 'host' ? `${process.platform}-${process.arch}` : architecture,
    source: needsWholeSource(project, texts[0] ?? '') ? job.tree.entries : null,
  }
}

/** Installs into `<folder>/app`: first without any script and with the shared cache, then the scripts with a cache of their own. */
export async function install(
  job: NodeJob,
  folder: string,
  project: NodeProject,
  options: { readonly production: boolean; readonly wholeSource?: boolean },
): Promise<NodeWork> {
  const { manager, manifest } = project
  const work: NodeWork = { folder, nodeMajor: project.nodeMajor, manager }
  const app = join(folder, 'app')
  const lockfile = (await job.tree.readText(project.lockfile, LOCKFILE_LIMIT)) ?? ''
  if (options.wholeSource === true || needsWholeSource(project, lockfile))
    await writeSource(job.tree, app)
  await writeInputs(job, project, app)
  await runNodeStep(job, work, {
    name: `${manager.name} ${manager.install(options)[0] ?? ''}`,
    failure: 'INSTALL_FAILED',
    manager: manager.install(options),
    sharedCache: true,
    shell: false,
  })
  const own = INSTALL_SCRIPTS.filter((name) => manifest.scripts[name] !== undefined)
  if (own.length === 0 && !(await hasInstallScripts(app, lockfile))) return work
  const run = (args: readonly string[]): Promise<void> =>
    runNodeStep(job, work, {
      name: `${manager.name} ${args.join(' ')}`,
      failure: 'INSTALL_FAILED',
      manager: args,
      sharedCache: false,
      shell: true,
    })
  await run(['rebuild'])
  // Development tools that `prepare` and its like call are not there in a production install.
  if (!options.production) for (const name of own) await run(['run', name])
  else for (const name of own) if (name !== 'prepare') await run(['run', name])
  return work
}

/** Layer entries of the installed node_modules. */
export async function installedEntries(
  folder: string,
  manager: PackageManager,
): Promise<LayerEntry[]> {
  const modules = join(folder, 'app', 'node_modules')
  await mkdir(modules, { recursive: true })
  const entries = await folderTree(modules, {
    root: 'app/node_modules',
    boundary: 'app',
    trusted: folder,
    handOver: true,
    choose: (path) => !manager.bookkeeping.includes(path) && !path.endsWith('/.git'),
  })
  // Folders with files come by themselves; npm leaves empty ones behind.
  return entries.filter(({ type }) => type !== 'directory')
}

/** 'npm ci, 312 packages, 41 MB'. */
export function installLine(manager: PackageManager, entries: readonly LayerEntry[]): string {
  const packages = entries.filter(({ path }) =>
    /node_modules\/(?:@[^/]+\/)?[^/@]+\/package\.json$/.test(path),
  )
  const bytes = entries.reduce(
    (sum, entry) =>
      sum + (entry.type === 'file' && 'size' in entry.content ? entry.content.size : 0),
    0,
  )
  return `${manager.name} ${manager.install({ production: true })[0] ?? ''}, ${count(packages.length, 'package')}, ${size(bytes)}`
}

const LOCKFILE_LIMIT = 64 * 1024 ** 2

/** Besides package.json and the lockfile. Credentials in them reach the package manager and no image. */
const CONFIG_FILES = ['.npmrc', '.yarnrc', 'pnpm-workspace.yaml'] as const

/** Workspaces, packages in folders, patches and scripts of the app itself read files of the source. */
function needsWholeSource(project: NodeProject, lockfile: string): boolean {
  const { manifest } = project
  if (
    manifest.hasWorkspaces ||
    INSTALL_SCRIPTS.some((name) => manifest.scripts[name] !== undefined)
  )
    return true
  return /"link": true|"(?:resolved|version)": "file:|(?:@|: )(?:file|link):|patchedDependencies/.test(
    lockfile,
  )
}

/** npm's own record of what it installed says so (lockfile v2, v3); for other lockfiles we look for the usual words. */
async function hasInstallScripts(app: string, lockfile: string): Promise<boolean> {
  const hidden = await readIfExists(join(app, 'node_modules', '.package-lock.json'))
  return /"hasInstallScript": true|requiresBuild: true/.test(hidden ?? lockfile) || hidden === null
}

async function writeInputs(job: NodeJob, project: NodeProject, app: string): Promise<void> {
  await mkdir(app, { recursive: true, mode: 0o755 })
  for (const path of ['package.json', project.lockfile, ...CONFIG_FILES]) {
    const text = await job.tree.readText(path, LOCKFILE_LIMIT)
    if (text !== null) await writeFile(join(app, path), text)
  }
}

/** A copy of the source that build steps may change; node_modules only where there is no lockfile to make it from. */
export async function writeSource(
  tree: AppTree,
  folder: string,
  options: { readonly modules: boolean } = { modules: false },
): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o755 })
  for (const entry of tree.entries) {
    if (!options.modules && inNodeModules(entry.path)) continue
    const path = join(folder, entry.path)
    await mkdir(dirname(path), { recursive: true, mode: 0o755 })
    if (entry.type === 'symlink') await symlink(entry.target, path)
    else {
      await copyFile(tree.contentPath(entry), path)
      await chmod(path, entry.executable ? 0o755 : 0o644)
    }
  }
}

/** Packages of another platform or of another time: next to a lockfile they are ignored. */
export function inNodeModules(path: string): boolean {
  return (
    path === 'node_modules' || path.startsWith('node_modules/') || path.includes('/node_modules/')
  )
}
