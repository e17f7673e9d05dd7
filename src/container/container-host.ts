import { createHash, randomBytes } from 'node:crypto'
import {
  chown,
  lstat,
  mkdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { basename, dirname, join, posix } from 'node:path'
import { isMissing, readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import { runToEnd } from '../lib/process.ts'
import { bootId } from '../lib/process-identity.ts'
import { FairwayError } from '../model/errors.ts'
import { bundleConfig, type BundleHost } from './bundle.ts'
import { Cgroup } from './cgroup.ts'
import { CNI_FOLDERS, programPath } from './program-path.ts'

/** Host uid of uid 0 inside, where user namespaces work: also what the image store gives files that it unpacks. */
export const OWNER_OFFSET = 100_000

/** What this host really runs containers with. */
export interface ContainerHost extends BundleHost {
  readonly runtime: Runtime
  readonly conmon: string
  readonly cniDir: string
  readonly nft: string
  readonly ip: string
  readonly cgroups: 'v1' | 'v2'
  /** A statically linked init to be pid 1 (tini), or null: then what does not handle a signal is not ended by it. */
  readonly init: string | null
}

export interface Runtime {
  readonly name: 'runc' | 'crun'
  readonly path: string
}

/** How one runtime did when it really started a small container. */
export interface RuntimeTrial {
  readonly runtime: Runtime
  readonly ownerOffset: number
  /** Null = it works. */
  readonly problem: string | null
}

/** Folder for what must not outlive a boot: mounts, namespaces, runtime state. Traversable, for user namespaces. */
export function runFolder(dataDir: string): string {
  return `/run/fairway/${createHash('sha256').update(dataDir).digest('hex').slice(0, 8)}`
}

/** Control group of an instance or a step, below the group of its data directory. */
export function cgroupPath(runDir: string, id = ''): string {
  return posix.join('/fairway', basename(runDir), id)
}

/**
 * Finds the programs and picks the runtime by starting a container with each until one works; the choice is remembered until
 * the next boot or a change of the programs.
 * @throws FairwayError RUNNER_UNAVAILABLE that names everything that is missing
 */
export async function detectContainerHost(runDir: string): Promise<ContainerHost> {
  const programs = await requiredPrograms()
  const memory = join(runDir, 'host.json')
  const signature = await programSignature(Object.values(programs))
  const remembered = await recall(memory, signature)
  if (remembered !== null) return remembered
  const trials: RuntimeTrial[] = []
  for (const trial of tryRuntimes(runDir, programs)) {
    const result = await trial
    trials.push(result)
    if (result.problem !== null) continue
    const { cniDir, conmon, nft, ip, init } = programs
    const host: ContainerHost = {
      ...(await bundleHost(result.ownerOffset)),
      ...{ cniDir, conmon, nft, ip, init, runtime: result.runtime, cgroups: await cgroupVersion() },
    }
    await writeAtomically(memory, JSON.stringify({ signature, host }), { durable: false })
    return host
  }
  throw new FairwayError(
    'RUNNER_UNAVAILABLE',
    `no container runtime starts a container here: ${trials.map(describeTrial).join('; ')}`,
  )
}

export function describeTrial(trial: RuntimeTrial): string {
  const how = trial.ownerOffset === 0 ? '' : ' with a user namespace'
  return `${trial.runtime.name}${how}: ${trial.problem ?? 'works'}`
}

/** Every installed runtime, first with a user namespace, then without; crun first because it starts in a third of the time. */
export async function tryAllRuntimes(runDir: string): Promise<readonly RuntimeTrial[]> {
  const runc = await programPath('runc')
  const crun = await programPath('crun')
  const results: RuntimeTrial[] = []
  for (const trial of tryRuntimes(runDir, { runc, crun })) results.push(await trial)
  return results
}

export async function cgroupVersion(): Promise<'v1' | 'v2'> {
  return (await readIfExists('/sys/fs/cgroup/cgroup.controllers')) === null ? 'v1' : 'v2'
}

interface Programs {
  readonly runc: string | null
  readonly crun: string | null
  readonly conmon: string
  readonly cniDir: string
  readonly nft: string
  readonly ip: string
  readonly init: string | null
}

async function requiredPrograms(): Promise<Programs> {
  if (process.platform !== 'linux') throw unavailable('containers need Linux')
  if (process.getuid?.() !== 0) throw unavailable('containers need root on this host')
  const [runc, crun, conmon, nft, ip, bridge, init] = await Promise.all([
    programPath('runc'),
    programPath('crun'),
    programPath('conmon'),
    programPath('nft'),
    programPath('ip'),
    programPath('bridge', CNI_FOLDERS),
    programPath('tini-static'),
  ])
  const missing = [
    runc === null && crun === null ? 'runc or crun' : '',
    conmon === null ? 'conmon' : '',
    bridge === null ? 'the CNI plugins' : '',
    nft === null ? 'nft' : '',
    ip === null ? 'ip' : '',
  ].filter((name) => name !== '')
  if (conmon === null || nft === null || ip === null || bridge === null || missing.length > 0) {
    throw unavailable(`not installed: ${missing.join(', ')}`)
  }
  return { runc, crun, conmon, cniDir: dirname(bridge), nft, ip, init }
}

function unavailable(message: string): FairwayError {
  return new FairwayError('RUNNER_UNAVAILABLE', message)
}

function* tryRuntimes(
  runDir: string,
  { runc, crun }: Pick<Programs, 'runc' | 'crun'>,
): Generator<Promise<RuntimeTrial>> {
  for (const ownerOffset of [OWNER_OFFSET, 0]) {
    if (crun !== null) yield tryRuntime({ name: 'crun', path: crun }, ownerOffset, runDir)
    if (runc !== null) yield tryRuntime({ name: 'runc', path: runc }, ownerOffset, runDir)
  }
}

/** The same hardened bundle as an app gets, over a root made of the host's own /usr. */
async function tryRuntime(
  runtime: Runtime,
  ownerOffset: number,
  runDir: string,
): Promise<RuntimeTrial> {
  const id = `fairway-trial-${randomBytes(4).toString('hex')}`
  const folder = join(runDir, id)
  const rootfs = join(folder, 'rootfs')
  const root = join(folder, 'state')
  try {
    await mkdir(rootfs, { recursive: true, mode: 0o711 })
    const system = await hostSystem(rootfs)
    const hosts = join(folder, 'hosts')
    await writeFile(hosts, '127.0.0.1 localhost\n')
    await chown(rootfs, ownerOffset, ownerOffset)
    const config = bundleConfig({
      hostname: 'trial',
      argv: ['/usr/bin/true'],
      env: {},
      cwd: '/',
      user: { uid: 0, gid: 0, groups: [] },
      rootfs,
      netns: null,
      // As an instance has them: where the folder is mounted with flags that must be kept, this is what fails.
      binds: [...system, { source: hosts, destination: '/etc/hosts', writable: false }],
      limits: { cpu: 1, memory: 64 << 20, pids: 32 },
      tmpBytes: 1 << 20,
      cgroupsPath: cgroupPath(runDir, id),
      host: await bundleHost(ownerOffset),
    })
    await writeFile(join(folder, 'config.json'), JSON.stringify(config))
    const result = await runToEnd(runtime.path, ['--root', root, 'run', '--bundle', folder, id], {
      timeoutMs: 10_000,
    })
    if (result.code === 0) return { runtime, ownerOffset, problem: null }
    await runToEnd(runtime.path, ['--root', root, 'delete', '--force', id])
    const said = result.stderr.trim().split('\n').at(-1) ?? ''
    return { runtime, ownerOffset, problem: said.slice(0, 300) || `exit ${String(result.code)}` }
  } finally {
    await new Cgroup(await cgroupVersion(), cgroupPath(runDir)).remove()
    await rm(folder, { recursive: true, force: true })
  }
}

async function hostSystem(rootfs: string) {
  const binds = []
  for (const path of ['/usr', '/bin', '/lib', '/lib64']) {
    try {
      if ((await lstat(path)).isSymbolicLink()) {
        await symlink(await readlink(path), join(rootfs, path))
      } else {
        binds.push({ source: path, destination: path, writable: false, executable: true })
      }
    } catch (error) {
      if (!isMissing(error)) throw error
    }
  }
  return binds
}

async function bundleHost(ownerOffset: number): Promise<BundleHost> {
  const limits = await readFile('/proc/self/limits', 'utf8')
  const openFiles = Number(/^Max open files\s+\S+\s+(\d+)/m.exec(limits)?.[1] ?? 1024)
  const v1Swap = await readIfExists('/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes')
  const swapLimit = v1Swap !== null || (await cgroupVersion()) === 'v2'
  return { arch: process.arch, ownerOffset, swapLimit, openFiles }
}

async function programSignature(paths: readonly (string | null)[]): Promise<string> {
  const files = paths.filter((path) => path !== null)
  const times = await Promise.all(files.map(async (path) => (await stat(path)).mtimeMs))
  return [await bootId(), ...files.map((path, index) => `${path}@${String(times[index])}`)].join(
    ' ',
  )
}

async function recall(file: string, signature: string): Promise<ContainerHost | null> {
  const text = await readIfExists(file)
  if (text === null) return null
  const memory = JSON.parse(text) as { readonly signature: string; readonly host: ContainerHost }
  return memory.signature === signature ? memory.host : null
}
