import type { BuildPlan } from '../model/build-plan.ts'
import { FairwayError } from '../model/errors.ts'
import { count, size } from './amounts.ts'
import { appLayer } from './app-tree.ts'
import type { BakedApp, PlacedLayer, SourceJob } from './bake-job.ts'
import { keyedLayer } from './keyed-layer.ts'
import { layerKey } from './layer-key.ts'
import { nodeCommand } from './node-command.ts'
import { ownLayer } from './own-layer.ts'
import { builtLayer, builtLayers } from './node-build.ts'
import { dependencyLayer, inNodeModules, type NodeProject } from './node-dependencies.ts'
import { nodeRuntime } from './node-runtime.ts'
import { DEFAULT_NODE_MAJOR, nodeVersion } from './node-version.ts'
import { npmFor, packageManagerFor } from './package-manager.ts'
import { parseManifest, type PackageManifest } from './package-manifest.ts'

type NodeAppJob = SourceJob<BuildPlan & { readonly kind: 'node' }>

/** Layers: base, Node, node_modules, the app's files. */
export async function bakeNode(job: NodeAppJob): Promise<BakedApp> {
  const nodeMajor = job.plan.version ?? DEFAULT_NODE_MAJOR
  const text = await job.tree.readText('package.json')
  const manifest = text === null ? null : parseManifest(text)
  const version = await nodeVersion(job, nodeMajor)
  const runtime = job.request.flavour === 'image' ? (await nodeRuntime(job, nodeMajor)).layers : []
  const app = await appLayers(job, manifest, { nodeMajor, nodeVersion: version })
  return {
    layers: [...runtime, ...app],
    command: nodeCommand(job.plan.command, manifest),
    env: { NODE_ENV: 'production' },
  }
}

async function appLayers(
  job: NodeAppJob,
  manifest: PackageManifest | null,
  node: { readonly nodeMajor: number; readonly nodeVersion: string },
): Promise<readonly PlacedLayer[]> {
  const { lockfile } = job.plan
  const builds = manifest?.scripts['build'] !== undefined || job.request.spec.build.command !== null
  if (lockfile === null) {
    const modules = await givenModules(job, manifest)
    if (job.request.spec.build.command === null)
      return [
        ...modules,
        await ownLayer(
          job,
          job.tree.entries.filter(({ path }) => !inNodeModules(path)),
        ),
      ]
    return [...modules, await builtLayer(job, { ...node, manager: npmFor(node.nodeMajor) })]
  }
  const manager = packageManagerFor(lockfile, node.nodeMajor)
  if (manager === null || manifest === null) {
    throw new FairwayError(
      'INSTALL_FAILED',
      manifest === null
        ? `there is a lockfile ${lockfile} and no package.json beside it`
        : `${lockfile} is not supported; package-lock.json, npm-shrinkwrap.json, yarn.lock (version 1) and pnpm-lock.yaml are`,
    )
  }
  const project: NodeProject = { manifest, lockfile, manager, ...node }
  if (builds) return builtLayers(job, project)
  return [
    await dependencyLayer(job, project),
    await ownLayer(
      job,
      job.tree.entries.filter(({ path }) => !inNodeModules(path)),
    ),
  ]
}

/** A source without lockfile: its node_modules, if any, are taken as they are. */
async function givenModules(
  job: NodeAppJob,
  manifest: PackageManifest | null,
): Promise<readonly PlacedLayer[]> {
  const given = job.tree.entries.filter(({ path }) => inNodeModules(path))
  const needed = Object.keys(manifest?.dependencies ?? {})
  if (given.length === 0 && needed.length === 0) return []
  if (given.length === 0) {
    throw new FairwayError(
      'INSTALL_FAILED',
      `package.json names ${count(needed.length, 'dependency')}, but there is neither a lockfile nor node_modules`.replace(
        'dependencys',
        'dependencies',
      ),
      { hint: 'Run `npm install` and keep its package-lock.json in the source.' },
    )
  }
  const key = layerKey('given-modules', { given })
  const placed = await keyedLayer(job, key, 'fast', (add) =>
    add(appLayer(job.tree, 'app', inNodeModules)),
  )
  const bytes = given.reduce((sum, entry) => sum + (entry.type === 'file' ? entry.size : 0), 0)
  job.step(
    `dependencies: node_modules of the source, ${count(given.length, 'file')}, ${size(bytes)}${placed.created ? '' : ' (cached)'}`,
  )
  return [placed]
}
