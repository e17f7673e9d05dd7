import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { run as runProgram, runToEnd } from '../src/lib/process.ts'
import { startPrivatePlatform } from '../test/e2e/private-platform.ts'
import { fetchText } from './load.ts'
import { median, row, type Bench, type BenchOptions, type BenchResult } from './result.ts'

const APP = resolve(import.meta.dirname, 'apps/hello')
const RUNS = 15
const WARM_UPS = 3
/** What the same Node binary needs of the host's libraries, for the image that buildah starts from. */
const LIBRARIES = [
  'libc.so.6',
  'libm.so.6',
  'libdl.so.2',
  'libpthread.so.0',
  'libstdc++.so.6',
  'libgcc_s.so.1',
]

async function ours(options: BenchOptions): Promise<number[]> {
  const platform = await startPrivatePlatform({ runner: 'container', subnet: '10.209.0.0/16' })
  const folder = await copyOfApp()
  try {
    await platform.must(['deploy', folder, '--app', 'hello'])
    const times: number[] = []
    for (let version = 1; version <= WARM_UPS + RUNS; version++) {
      await writeVersion(folder, version)
      const start = performance.now()
      await platform.must(['deploy', folder, '--app', 'hello'])
      if (version > WARM_UPS) times.push(performance.now() - start)
      const answer = await fetchText({
        port: platform.httpPort,
        host: 'hello.localhost',
        path: '/',
        agent: false,
        body: null,
      })
      if (answer !== String(version))
        throw new Error(`version ${answer} answers instead of ${String(version)}`)
    }
    options.say(`ours: ${times.map((ms) => Math.round(ms)).join(' ')} ms`)
    return times
  } finally {
    await platform.destroy()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Builds the changed file on top of a base image and starts it: nothing waits for readiness, switches traffic or drains. */
async function theirs(
  options: BenchOptions,
  network: 'default' | 'none',
): Promise<number[] | null> {
  for (const program of ['buildah', 'podman', 'runc']) {
    if ((await runToEnd(program, ['--version']).catch(() => null))?.code !== 0) return null
  }
  const store = await mkdtemp(join(tmpdir(), 'fairway-bench-storage-'))
  const folder = await copyOfApp()
  const storage = ['--root', join(store, 'root'), '--runroot', join(store, 'run')]
  const times: number[] = []
  try {
    const base = await baseImage(storage, folder)
    for (let version = 1; version <= WARM_UPS + RUNS; version++) {
      await writeVersion(folder, version)
      const start = performance.now()
      const working = (await runProgram('buildah', [...storage, 'from', base])).trim()
      await runProgram('buildah', [
        ...storage,
        'copy',
        working,
        join(folder, 'version.js'),
        '/app/version.js',
      ])
      const image = (await runProgram('buildah', [...storage, 'commit', '--quiet', working])).trim()
      const id = (
        await runProgram('podman', [
          ...storage,
          '--runtime',
          'runc',
          'run',
          '-d',
          ...(network === 'none' ? ['--network', 'none'] : []),
          ...ULIMITS,
          image,
        ])
      ).trim()
      if (version > WARM_UPS) times.push(performance.now() - start)
      await runProgram('podman', [...storage, 'rm', '-f', '-t', '0', id])
      await runProgram('buildah', [...storage, 'rm', working])
    }
    options.say(
      `buildah + podman, network ${network}: ${times.map((ms) => Math.round(ms)).join(' ')} ms`,
    )
    return times
  } finally {
    await runToEnd('podman', [...storage, 'rm', '-af', '-t', '0'])
    await runToEnd('umount', [join(store, 'root/overlay')])
    await rm(store, { recursive: true, force: true, maxRetries: 3 })
    await rm(folder, { recursive: true, force: true })
  }
}

const ULIMITS = ['--ulimit', 'nofile=1024:20000', '--ulimit', 'nproc=1024:1024']

async function baseImage(storage: readonly string[], folder: string): Promise<string> {
  const working = (await runProgram('buildah', [...storage, 'from', 'scratch'])).trim()
  const copy = (from: string, to: string): Promise<string> =>
    runProgram('buildah', [...storage, 'copy', working, from, to])
  await copy(process.execPath, '/usr/bin/node')
  for (const library of LIBRARIES)
    await copy(`/lib/x86_64-linux-gnu/${library}`, `/lib/x86_64-linux-gnu/${library}`).catch(() =>
      copy(`/usr/lib/x86_64-linux-gnu/${library}`, `/lib/x86_64-linux-gnu/${library}`),
    )
  await copy('/lib64/ld-linux-x86-64.so.2', '/lib64/ld-linux-x86-64.so.2')
  await copy(folder, '/app')
  await runProgram('buildah', [
    ...storage,
    'config',
    '--workingdir',
    '/app',
    '--entrypoint',
    '["/usr/bin/node","server.js"]',
    working,
  ])
  const image = (await runProgram('buildah', [...storage, 'commit', '--quiet', working])).trim()
  await runProgram('buildah', [...storage, 'rm', working])
  return image
}

async function copyOfApp(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-hello-'))
  await cp(APP, folder, { recursive: true })
  return folder
}

async function writeVersion(folder: string, version: number): Promise<void> {
  await writeFile(join(folder, 'version.js'), `export const version = '${String(version)}'\n`)
}

async function run(options: BenchOptions): Promise<BenchResult> {
  const mine = await ours(options)
  const connected = await theirs(options, 'default').catch((error: unknown) => {
    options.say(`podman with its default network: ${String(error)}`)
    return null
  })
  const isolated = await theirs(options, 'none')
  const compared = (
    times: number[] | null,
    network: string,
  ): { theirs: number; against: string } | undefined =>
    times === null
      ? undefined
      : { theirs: median(times), against: `buildah + podman, build and start only, ${network}` }
  return {
    name: 'deploy',
    results: [
      row(
        'one changed file to all traffic, median',
        'ms',
        median(mine),
        compared(connected, 'default network'),
      ),
      row(
        'one changed file to all traffic, median',
        'ms',
        median(mine),
        compared(isolated, 'no network'),
      ),
    ],
    notes: [
      `${String(RUNS)} runs after ${String(WARM_UPS)} warm-ups; ours from command start until the new version serves and the old one is drained`,
      ...(connected === null
        ? ['podman cannot start a container with its default network here']
        : []),
      ...(isolated === null
        ? ['buildah, podman or runc is not installed: nothing to compare with']
        : []),
    ],
  }
}

export const bench: Bench = {
  name: 'deploy',
  summary:
    'changed one source file of a small Node app: command start to new version serving, old drained',
  needs: 'root, runc, conmon, CNI plugins; buildah and podman for the comparison',
  run,
}
