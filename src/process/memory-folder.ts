import { createHash } from 'node:crypto'
import { lstat, mkdir, readdir, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing, writeAtomically } from '../lib/atomic-file.ts'
import { isInMemory, swapFiles } from '../lib/memory-files.ts'
import { FairwayError } from '../model/errors.ts'
import type { InstanceId } from '../model/instance.ts'
import {
  revealedFiles,
  type InstancePayload,
  type PrivateFolder,
  type PrivateFolderName,
} from '../model/secrets.ts'

/** `<memory>/fairway-<uid>-<hash of the data directory>/<instance id>/<folder>`: mode 0700, for whoever runs the server, as whom instances run too. */
export class MemoryFolder {
  readonly #places: readonly string[]
  readonly #name: string

  /** @param places folders in memory that may be there, the first that is one is used; default /dev/shm, then the user's own in /run/user */
  constructor(dataDir: string, places: readonly string[] = usualPlaces()) {
    this.#places = places
    const hash = createHash('sha256').update(dataDir).digest('hex').slice(0, 12)
    this.#name = `fairway-${String(process.getuid?.() ?? 0)}-${hash}`
  }

  /** @throws FairwayError RUNNER_UNAVAILABLE (no such place, or somebody else's folder in it), SECRETS_INVALID, DISK_FULL */
  async create(id: InstanceId, { folders, env }: InstancePayload): Promise<void> {
    const base = await this.#base()
    if (base === null) throw noMemory(this.#places)
    await mkdir(join(base, id), { recursive: true, mode: 0o700 })
    await refuseForeign(base)
    for (const folder of folders) {
      await mkdir(join(base, id, folder.name), { mode: 0o700 })
      await this.swap(id, folder)
    }
    if (env.size === 0) return
    const values = [...env].map(([name, value]) => [name, value.revealText()] as const)
    const text = JSON.stringify(Object.fromEntries(values))
    await told('variables', () =>
      writeAtomically(join(base, id, ENV_FILE), text, { mode: 0o400, durable: false }),
    )
  }

  /** @throws FairwayError SECRETS_INVALID, DISK_FULL; the old files stay then */
  async swap(id: InstanceId, folder: PrivateFolder): Promise<void> {
    const path = await this.path(id, folder.name)
    if (path === null) throw noMemory(this.#places)
    const files = revealedFiles(folder)
    await told(folder.name, () => swapFiles(path, files, null))
  }

  /** Null where the host has no folder in memory. */
  async path(id: InstanceId, name: PrivateFolderName): Promise<string | null> {
    const base = await this.#base()
    return base === null ? null : join(base, id, name)
  }

  async envFile(id: InstanceId): Promise<string | null> {
    const base = await this.#base()
    return base === null ? null : join(base, id, ENV_FILE)
  }

  /** Unknown: nothing happens. */
  async remove(id: InstanceId): Promise<void> {
    const base = await this.#base()
    if (base === null) return
    await rm(join(base, id), { recursive: true, force: true })
    try {
      await rmdir(base)
    } catch (error) {
      if (!isMissing(error) && !hasCode(error, 'ENOTEMPTY')) throw error
    }
  }

  /** What an earlier server left of instances that are not known. */
  async ids(): Promise<readonly InstanceId[]> {
    const base = await this.#base()
    try {
      return base === null ? [] : await readdir(base)
    } catch (error) {
      if (isMissing(error)) return []
      throw error
    }
  }

  async #base(): Promise<string | null> {
    for (const place of this.#places) if (await isInMemory(place)) return join(place, this.#name)
    return null
  }
}

const ENV_FILE = 'env.json'

function usualPlaces(): readonly string[] {
  return ['/dev/shm', `/run/user/${String(process.getuid?.() ?? 0)}`]
}

/** Everybody may write to /dev/shm: the name may have been taken to get at what is written there. */
async function refuseForeign(base: string): Promise<void> {
  const found = await lstat(base)
  if (found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o077) === 0) return
  throw new FairwayError(
    'RUNNER_UNAVAILABLE',
    `${base} is not a folder of this user alone: no secret is written there`,
    { hint: 'Find out who made it, and remove it.' },
  )
}

function noMemory(places: readonly string[]): FairwayError {
  return new FairwayError(
    'RUNNER_UNAVAILABLE',
    `this host has no folder in memory (${places.join(', ')}) for secrets, and they are never written to a disk`,
    { hint: 'Run the app in containers, or on Linux with a tmpfs at /dev/shm.' },
  )
}

async function told(what: string, write: () => Promise<void>): Promise<void> {
  try {
    await write()
  } catch (error) {
    if (!hasCode(error, 'ENOSPC')) throw error
    throw new FairwayError('DISK_FULL', `no space in memory for the ${what} of an instance`, {
      cause: error,
    })
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
