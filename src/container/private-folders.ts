import { chown, mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isInMemory, swapFiles } from '../lib/memory-files.ts'
import { runToEnd } from '../lib/process.ts'
import { FairwayError } from '../model/errors.ts'
import type { InstanceSpec } from '../model/instance.ts'
import {
  MAX_PRIVATE_BYTES,
  MAX_PRIVATE_FILES,
  PRIVATE_FOLDERS,
  revealedFiles,
  type InstancePayload,
  type PrivateFolder,
  type PrivateFolderName,
} from '../model/secrets.ts'
import type { Bind, ContainerUser } from './bundle.ts'
import type { ContainerHost } from './container-host.ts'
import type { InstanceFolder } from './instance-folder.ts'

const PAGE = 4096
/** Of each folder there are two versions while they are swapped, each file takes whole pages; and config.json lies beside them. */
const LIMITS = {
  bytes: PRIVATE_FOLDERS.length * 2 * (MAX_PRIVATE_BYTES + MAX_PRIVATE_FILES * PAGE) + (4 << 20),
  inodes: PRIVATE_FOLDERS.length * 4 * MAX_PRIVATE_FILES + 64,
}

/** The file system in memory of one instance: mounted on the host, of which the container sees single folders, read-only. */
export class PrivateFolders {
  readonly path: string

  /** @param path a folder that exists, for this alone */
  constructor(path: string) {
    this.path = path
  }

  /** Never swapped out where the kernel can promise that (since 6.4). @throws FairwayError RUNNER_UNAVAILABLE */
  async mount(): Promise<void> {
    const { bytes, inodes } = LIMITS
    await mkdir(this.path, { recursive: true, mode: 0o711 })
    const common = `nosuid,nodev,noexec,mode=0711,size=${String(bytes)},nr_inodes=${String(inodes)}`
    let said = ''
    for (const options of [`${common},noswap`, common]) {
      const args = ['-t', 'tmpfs', '-o', options, 'fairway-private', this.path]
      const result = await runToEnd('mount', args)
      if (result.code === 0) return
      said = result.stderr.trim()
    }
    throw new FairwayError('RUNNER_UNAVAILABLE', `cannot mount a folder in memory: ${said}`)
  }

  /** @param owner uid and gid as the host sees the app's user */
  async create(name: PrivateFolderName, owner: { readonly uid: number; readonly gid: number }) {
    const path = this.folder(name)
    await mkdir(path, { mode: 0o700 })
    await chown(path, owner.uid, owner.gid)
  }

  /** @throws FairwayError SECRETS_INVALID, DISK_FULL */
  async swap(folder: PrivateFolder): Promise<void> {
    const path = this.folder(folder.name)
    const { uid, gid } = await stat(path)
    try {
      await swapFiles(path, revealedFiles(folder), { uid, gid })
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
      throw new FairwayError('DISK_FULL', `no space in memory for the files of ${folder.name}`, {
        cause: error,
      })
    }
  }

  folder(name: PrivateFolderName): string {
    return join(this.path, name)
  }

  /** As the container gets them. */
  binds(names: readonly PrivateFolderName[]): readonly Bind[] {
    return names.map((name) => ({
      source: this.folder(name),
      destination: pathInside(name),
      writable: false,
    }))
  }
}

/**
 * Mounts what an instance with such a spec needs, if it needs anything, and makes its folders, empty.
 * @param to the user as seen inside, and how far the host's numbers are from that
 * @throws FairwayError RUNNER_UNAVAILABLE; also for private variables where a runtime copies them to a disk: crun keeps config.json beside its state
 */
export async function mountPrivate(
  folder: InstanceFolder,
  { privateFolders = [], privateEnv = [] }: Pick<InstanceSpec, 'privateFolders' | 'privateEnv'>,
  to: {
    readonly user: Promise<ContainerUser>
    readonly host: Pick<ContainerHost, 'runtime' | 'ownerOffset'>
  },
): Promise<void> {
  if (privateFolders.length === 0 && privateEnv.length === 0) return
  if (privateEnv.length > 0 && to.host.runtime.name === 'crun' && !(await isInMemory(folder.run))) {
    throw new FairwayError(
      'RUNNER_UNAVAILABLE',
      'variables with secret values need /run in memory (tmpfs) where the runtime is crun',
      { hint: 'Read the values from the files in FAIRWAY_SECRETS instead, or install runc.' },
    )
  }
  const all = new PrivateFolders(folder.private)
  await all.mount()
  const user = await to.user
  const offset = to.host.ownerOffset
  for (const name of privateFolders)
    await all.create(name, { uid: user.uid + offset, gid: user.gid + offset })
}

/** Before the command runs. @throws FairwayError SECRETS_INVALID, DISK_FULL */
export async function fillPrivate(
  folder: InstanceFolder,
  { folders }: InstancePayload,
): Promise<void> {
  const all = new PrivateFolders(folder.private)
  for (const each of folders) await all.swap(each)
}

export function pathInside(name: PrivateFolderName): string {
  return `/run/${name}`
}
