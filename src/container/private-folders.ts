import { chown, mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isInMemory, swapFiles } from '../lib/memory-files.ts'
import { runToEnd } from '../lib/process.ts'
import { FairwayError } from '../model/errors.ts'
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
  async create(folder: PrivateFolder, owner: { readonly uid: number; readonly gid: number }) {
    const path = this.folder(folder.name)
    await mkdir(path, { mode: 0o700 })
    await chown(path, owner.uid, owner.gid)
    await this.swap(folder)
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
 * Mounts what a payload needs, if it needs anything.
 * @throws FairwayError RUNNER_UNAVAILABLE; also for private variables where a runtime copies them to a disk: crun keeps config.json beside its state
 */
export async function mountPrivate(
  folder: InstanceFolder,
  { folders, env }: InstancePayload,
  host: Pick<ContainerHost, 'runtime'>,
): Promise<void> {
  if (folders.length === 0 && env.size === 0) return
  if (env.size > 0 && host.runtime.name === 'crun' && !(await isInMemory(folder.run))) {
    throw new FairwayError(
      'RUNNER_UNAVAILABLE',
      'variables with secret values need /run in memory (tmpfs) where the runtime is crun',
      { hint: 'Read the values from the files in FAIRWAY_SECRETS instead, or install runc.' },
    )
  }
  await new PrivateFolders(folder.private).mount()
}

/** @param to the user as seen inside, and how far the host's numbers are from that */
export async function createPrivate(
  folder: InstanceFolder,
  { folders }: InstancePayload,
  to: { readonly user: ContainerUser; readonly offset: number },
): Promise<void> {
  const owner = { uid: to.user.uid + to.offset, gid: to.user.gid + to.offset }
  const all = new PrivateFolders(folder.private)
  for (const each of folders) await all.create(each, owner)
}

export function pathInside(name: PrivateFolderName): string {
  return `/run/${name}`
}
