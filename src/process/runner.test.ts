import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { listPids, readProc } from '../lib/process-identity.ts'
import type { ImageFacts } from '../model/release.ts'
import { runnerSuite, type RunnerHarness } from '../../test/runner-suite.ts'
import { beVictim, beVictimOf } from '../../test/runner-victim.ts'
import { MemoryFolder } from './memory-folder.ts'
import { ProcessRunner } from './process-runner.ts'

const image: ImageFacts = {
  digest: `sha256:${'0'.repeat(64)}`,
  flavour: 'host',
  command: [],
  env: {},
  workingDir: '/',
  user: '',
  port: null,
  sizeBytes: 0,
}

async function open(folder: string): Promise<ProcessRunner> {
  const runner = new ProcessRunner({
    dataDir: join(folder, 'data'),
    logDir: join(folder, 'logs'),
    rootfs: () => Promise.resolve(join(folder, 'rootfs')),
    clock: systemClock,
    log: silentLog,
  })
  await runner.open()
  return runner
}

async function make(): Promise<RunnerHarness> {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-process-'))
  await mkdir(join(folder, 'rootfs'))
  const runner = await open(folder)
  return {
    runner,
    image,
    logDir: join(folder, 'logs'),
    disks: [join(folder, 'data')],
    again: () => open(folder),
    victim: [process.execPath, import.meta.filename, 'victim', folder],
    leftovers: async () => [...(await processesOf(folder)), ...(await memoryOf(folder))],
    close: async () => {
      for (const { spec } of await runner.list()) await runner.remove(spec.id)
      await runner.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Shims name the folder as an argument, instances in TMPDIR. */
async function processesOf(folder: string): Promise<string[]> {
  const left: string[] = []
  for (const pid of await listPids()) {
    if (pid === process.pid) continue
    const command = (await readProc(pid, 'cmdline')) ?? ''
    const environment = (await readProc(pid, 'environ').catch(() => null)) ?? ''
    if (`${command}${environment}`.includes(folder)) left.push(`${String(pid)} ${command}`)
  }
  return left
}

async function memoryOf(folder: string): Promise<readonly string[]> {
  return await new MemoryFolder(join(folder, 'data')).ids()
}

const [, , role, dataFolder = '', id] = process.argv
if (role === 'victim') {
  const runner = await open(dataFolder)
  if (id === undefined) await beVictim(runner, image)
  else await beVictimOf(runner, image, id)
} else {
  const skip = process.platform === 'win32' ? 'needs process groups' : null
  runnerSuite({ name: 'process', skip, make })
}
