import { mkdir, mkdtemp, readdir, readFile, rm, rmdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  cgroupPath,
  detectContainerHost,
  runFolder,
  type ContainerHost,
} from '../src/container/container-host.ts'
import { ContainerRunner } from '../src/container/container-runner.ts'
import { isMissing } from '../src/lib/atomic-file.ts'
import { systemClock } from '../src/lib/clock.ts'
import { silentLog } from '../src/lib/log.ts'
import { run } from '../src/lib/process.ts'
import { listPids, readProc } from '../src/lib/process-identity.ts'
import type { ImageFacts } from '../src/model/release.ts'
import type { RunnerHarness } from './runner-suite.ts'
import { sampleRootfs } from './sample-rootfs.ts'

export const containerImage: ImageFacts = {
  digest: `sha256:${'0'.repeat(64)}`,
  flavour: 'image',
  command: [],
  env: {},
  workingDir: '/app',
  user: '',
  port: null,
  sizeBytes: 0,
}

export interface ContainerHarness extends RunnerHarness {
  readonly runner: ContainerRunner
  readonly folder: string
  readonly host: ContainerHost
}

/** Why containers cannot run here, or null. Finds out by really starting one. */
export async function containerProblem(): Promise<string | null> {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-trial-'))
  try {
    await detectContainerHost(runFolder(folder))
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  } finally {
    await rm(runFolder(folder), { recursive: true, force: true })
    await rm(folder, { recursive: true, force: true })
  }
}

/** Networks of suites that run at the same time must differ: the process id picks one. */
export async function openContainerRunner(folder: string): Promise<ContainerRunner> {
  const runner = await containerRunner(folder)
  await runner.open()
  return runner
}

/** Not open yet. */
export async function containerRunner(folder: string): Promise<ContainerRunner> {
  const dataDir = join(folder, 'data')
  await mkdir(dataDir, { recursive: true })
  const host = await detectContainerHost(runFolder(dataDir))
  // Above lie those of the end-to-end suites.
  const number = Number(/(\d+)$/.exec(folder)?.[1] ?? 0) % 200
  return new ContainerRunner({
    dataDir,
    host,
    images: { lowerDirs: () => Promise.resolve([join(folder, 'layer')]) },
    logDir: join(folder, 'logs'),
    clock: systemClock,
    log: silentLog,
    subnet: `10.${String(number + 1)}.0.0/16`,
    spareNetworks: 2,
  })
}

/** Hosts differ: some have user namespaces, and those that have them can go without. */
export const USERS = [
  { where: '', withoutUserNamespace: false },
  { where: ' without user namespaces', withoutUserNamespace: true },
] as const

export async function makeContainerHarness(
  victim: string,
  { withoutUserNamespace = false } = {},
): Promise<ContainerHarness> {
  // Instances are other users, and the files of the sample image are for them.
  process.umask(0o022)
  const folder = await mkdtemp(join(tmpdir(), 'fairway-container-'))
  const { number, giveBack } = await claimNumber()
  const numbered = `${folder}-${String(number)}`
  const runDir = runFolder(join(numbered, 'data'))
  await mkdir(join(numbered, 'data'), { recursive: true })
  await rm(folder, { recursive: true })
  await mountAsSystemdDoes(runDir)
  const found = await detectContainerHost(runDir)
  const host = withoutUserNamespace ? { ...found, ownerOffset: 0 } : found
  await sampleRootfs(join(numbered, 'layer'), host.ownerOffset)
  const runner = await openContainerRunner(numbered)
  return {
    runner,
    host,
    folder: numbered,
    image: containerImage,
    logDir: join(numbered, 'logs'),
    disks: [runDir, join(numbered, 'data')],
    again: () => openContainerRunner(numbered),
    victim: [process.execPath, victim, 'victim', numbered],
    leftovers: () => leftoversOf(runDir),
    close: async () => {
      await runner.teardown().catch((error: unknown) => {
        // All that is left is the folder itself, which is a mount here.
        if (!isBusy(error, runDir)) throw error
      })
      await run('umount', [runDir])
      await rmdir(runDir)
      await rm(numbered, { recursive: true, force: true })
      await giveBack()
    },
  }
}

/** A number for the network that no other suite has now, by a name of a socket that the kernel takes back however its process ends. */
async function claimNumber(): Promise<{ number: number; giveBack: () => Promise<void> }> {
  for (let number = process.pid % 200; ; number = (number + 1) % 200) {
    const claim = createServer()
    const isOurs = await new Promise<boolean>((resolve, reject) => {
      claim.once('error', (error: Error & { code?: string }) => {
        if (error.code === 'EADDRINUSE') resolve(false)
        else reject(error)
      })
      claim.listen(`\0fairway-test-network-${String(number)}`, () => resolve(true))
    })
    if (!isOurs) continue
    claim.unref()
    const giveBack = () => new Promise<void>((resolve) => claim.close(() => resolve()))
    return { number, giveBack }
  }
}

/** Hosts with systemd have /run on a tmpfs with flags that a user namespace may not take away; others do not, so it is done for all. */
async function mountAsSystemdDoes(runDir: string): Promise<void> {
  await mkdir(runDir, { recursive: true, mode: 0o711 })
  await run('mount', ['-t', 'tmpfs', '-o', 'nosuid,nodev,noexec,mode=0711', 'tmpfs', runDir])
}

function isBusy(error: unknown, path: string): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    error.code === 'EBUSY' &&
    error.message.includes(`rmdir '${path}'`)
  )
}

/** Mounts, processes, cgroups, namespaces and files that belong to an instance of this run directory. */
async function leftoversOf(runDir: string): Promise<string[]> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .filter((line) => line.includes(`${runDir}/`))
  const processes: string[] = []
  for (const pid of await listPids()) {
    const command = (await readProc(pid, 'cmdline')) ?? ''
    if (pid !== process.pid && command.includes(runDir)) processes.push(command)
  }
  const named = async (path: string): Promise<string[]> =>
    (await names(path)).map((name) => join(path, name))
  const spares = (await names(join(runDir, 'spare'))).map((name) => name.replace('.json', ''))
  const namespaces = (await names('/run/netns')).filter(
    (name) => name.includes(runDir.slice(-8)) && !spares.includes(name),
  )
  return [
    ...mounts,
    ...processes,
    ...(await named(join(runDir, 'instances'))),
    ...(await named(join(runDir, 'exits'))),
    ...(await named(join(runDir, 'runtime'))),
    ...(await named(`/sys/fs/cgroup/memory${cgroupPath(runDir)}`)),
    ...(await named(`/sys/fs/cgroup${cgroupPath(runDir)}`)),
    ...(namespaces.length > 1 ? namespaces : []),
  ]
}

async function names(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder, { withFileTypes: true }))
      .filter((entry) => entry.isDirectory() || !folder.includes('cgroup'))
      .map((entry) => entry.name)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}
