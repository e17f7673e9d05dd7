/** Real software, fetched from its registries by their ordinary clients. */
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { run } from '../../src/lib/process.ts'
import { lacks } from './lacks.ts'

/** What the clients fetched stays for the next run, in the folder for such things. */
export const cache = join(
  process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
  'fairway-tests',
)

/** False once `name` lies in the cache, else the reason for a test to be skipped. */
export async function artifact(
  name: string,
  fetch: (folder: string) => Promise<string | false>,
): Promise<string | false> {
  await mkdir(cache, { recursive: true })
  if ((await reaches(name, 'test', ['-s', join(cache, name)])) === false) return false
  const folder = await mkdtemp(join(cache, 'fetch-'))
  try {
    const why = await fetch(folder)
    if (why === false) await rename(join(folder, name), join(cache, name))
    return why
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

export function mavenJar(coordinates: string): (folder: string) => Promise<string | false> {
  return (folder) =>
    reaches('Maven Central', 'mvn', [
      '-q',
      '-B',
      'dependency:copy',
      `-Dartifact=${coordinates}`,
      `-DoutputDirectory=${folder}`,
    ])
}

/** Runs the client of a registry as its user would; what it says in failing is the reason for skipping. */
export async function reaches(
  what: string,
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string | false> {
  const missing = lacks(program)
  if (missing !== false) return `${missing} for ${what}`
  const all = Object.entries({ ...process.env, ...env })
  const given = all.flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const]))
  return run(program, args, { env: Object.fromEntries(given), timeoutMs: 240_000 }).then(
    () => false as const,
    (error: unknown) => `${what} cannot be reached: ${String(error).slice(0, 300)}`,
  )
}
