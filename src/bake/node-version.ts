import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { writeAtomically, readIfExists } from '../lib/atomic-file.ts'
import type { LayerJob, OwnRuntime } from './bake-job.ts'
import { newestVersion, NPM_CPU, NPM_PACKAGE_ROOT, npmPackage } from './npm-package.ts'

/** The newest LTS; apps that ask for no version get it. */
export const DEFAULT_NODE_MAJOR = 24

/** How long a resolved version stays the answer for its major. */
const RESOLVED_FOR_MS = 24 * 3_600_000

/**
 * Exact version for a major. The runtime that Fairway itself is installed with answers at once; other majors are asked of the
 * npm registry once a day, and an old answer is good enough while the registry cannot be reached.
 */
export async function nodeVersion(job: LayerJob, major: number): Promise<string> {
  const own = installedRuntime(job.kitchen)
  if (own !== null && own.version.startsWith(`${String(major)}.`)) return own.version
  const { cacheDir, now } = job.kitchen
  const record = join(cacheDir, `node-${String(major)}.json`)
  const known = parseRecord(await readIfExists(record))
  if (known !== null && now() - known.at < RESOLVED_FOR_MS) return known.version
  try {
    const version = await newestVersion(job, runtimePackage(job), String(major))
    await writeAtomically(record, JSON.stringify({ version, at: now() }))
    return version
  } catch (error) {
    if (known === null) throw error
    job.step(`runtime: the npm registry does not answer, staying with Node ${known.version}`)
    return known.version
  }
}

/** Path of the Node binary for Linux on this host. @throws FairwayError PACKAGE_UNAVAILABLE */
export async function nodeBinary(job: LayerJob, version: string): Promise<string> {
  const own = installedRuntime(job.kitchen)
  if (own?.version === version) return own.binary
  const name = runtimePackage(job)
  const folder = await npmPackage(job, name, version)
  return join(folder, NPM_PACKAGE_ROOT, 'node_modules', name, 'bin', 'node')
}

function runtimePackage(job: LayerJob): string {
  return `node-linux-${NPM_CPU[job.kitchen.architecture]}`
}

/** The optional dependency of Fairway itself, where npm installed it. */
function installedRuntime({ architecture, ownRuntime }: LayerJob['kitchen']): OwnRuntime | null {
  if (ownRuntime !== null) return ownRuntime
  const file = resolveIfThere(`node-linux-${NPM_CPU[architecture]}/package.json`)
  if (file === null) return null
  const manifest: unknown = JSON.parse(readFileSync(file, 'utf8'))
  if (typeof manifest !== 'object' || manifest === null || !('version' in manifest)) return null
  if (typeof manifest.version !== 'string') return null
  return { version: manifest.version, binary: join(dirname(file), 'bin', 'node') }
}

function resolveIfThere(specifier: string): string | null {
  try {
    return createRequire(import.meta.url).resolve(specifier)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND') return null
    throw error
  }
}

function parseRecord(text: string | null): { version: string; at: number } | null {
  if (text === null) return null
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null || !('version' in value) || !('at' in value)) {
    return null
  }
  return typeof value.version === 'string' && typeof value.at === 'number'
    ? { version: value.version, at: value.at }
    : null
}
