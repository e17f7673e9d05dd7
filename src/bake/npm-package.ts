import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { ProgramError, run } from '../lib/process.ts'
import { FairwayError } from '../model/errors.ts'
import type { LayerJob } from './bake-job.ts'
import { giveTo } from './owner.ts'

/** Debian's name of an architecture -> npm's. */
export const NPM_CPU = { amd64: 'x64', arm64: 'arm64' } as const

/** Where a package tree lies below its folder, so that a sandbox can mount the folder as a layer. */
export const NPM_PACKAGE_ROOT = 'opt/fairway'

/**
 * Folder that holds `opt/fairway/node_modules/<name>` of exactly this version, fetched once by the host's own npm client with the host's
 * configuration; npm checks the integrity. Install scripts do not run.
 * @throws FairwayError PACKAGE_UNAVAILABLE
 */
export async function npmPackage(job: LayerJob, name: string, version: string): Promise<string> {
  const { cacheDir, architecture, locks } = job.kitchen
  const folder = join(
    cacheDir,
    'npm-packages',
    `${name.replace('/', '+')}@${version}-${architecture}`,
  )
  if (existsSync(folder)) return folder
  return locks.run(`npm package ${folder}`, async () => {
    if (existsSync(folder)) return folder
    const temporary = `${folder}.${randomBytes(4).toString('hex')}.tmp`
    await mkdir(join(temporary, NPM_PACKAGE_ROOT), { recursive: true, mode: 0o755 })
    try {
      await hostNpm(job, [
        'install',
        '--ignore-scripts',
        '--no-save',
        '--no-audit',
        '--no-fund',
        '--os=linux',
        '--libc=glibc',
        `--cpu=${NPM_CPU[architecture]}`,
        `--prefix=${join(temporary, NPM_PACKAGE_ROOT)}`,
        `${name}@${version}`,
      ])
      await giveTo(temporary, job.kitchen.sandbox.ownerOffset)
      await rename(temporary, folder)
      return folder
    } finally {
      await rm(temporary, { recursive: true, force: true })
    }
  })
}

/** Newest version of `name` in `range`. @throws FairwayError PACKAGE_UNAVAILABLE */
export async function newestVersion(job: LayerJob, name: string, range: string): Promise<string> {
  const said = await hostNpm(job, ['view', `${name}@${range}`, 'version', '--json'])
  const versions: unknown = said.trim() === '' ? [] : JSON.parse(said)
  const newest: unknown = Array.isArray(versions) ? versions.at(-1) : versions
  if (typeof newest === 'string') return newest
  throw new FairwayError('PACKAGE_UNAVAILABLE', `the npm registry has no ${name} ${range}`)
}

async function hostNpm(job: LayerJob, args: readonly string[]): Promise<string> {
  const { sources, cacheDir } = job.kitchen
  try {
    return await run('npm', [...args, '--loglevel=error'], {
      env: sources.hostEnv,
      cwd: cacheDir,
      timeoutMs: 10 * 60_000,
      signal: job.signal,
    })
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error
    job.signal.throwIfAborted()
    const why = npmComplaint(error.result?.stderr ?? '')
    throw new FairwayError('PACKAGE_UNAVAILABLE', why === '' ? error.message : `npm: ${why}`, {
      cause: error,
    })
  }
}

const MARK = /^npm (?:ERR!|error)\s*/
const NOT_A_REASON = /^(?:A complete log|code |errno |syscall |$)|\.log$/

/** What npm 9 to 11 say went wrong, in one line, without its error codes and the place of its log; empty where it said nothing. */
export function npmComplaint(stderr: string): string {
  return stderr
    .split('\n')
    .filter((line) => MARK.test(line))
    .map((line) => line.replace(MARK, '').trim())
    .filter((line) => !NOT_A_REASON.test(line))
    .slice(0, 3)
    .join(' ')
    .slice(0, 500)
}
