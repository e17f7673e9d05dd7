import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { hexOf, sha256, type BlobDigest, type Digest } from './digest.ts'
import { errno } from './oci-error.ts'

/**
 * Where things lie below the root of an image store:
 *
 *     blobs/<algorithm>/<hex>          compressed layers, configs, manifests
 *     layers/<diffID hex>/             unpacked layers; a folder that exists is complete
 *     chains/<chainID hex>/            flattened stacks of layers, likewise
 *     records/layers|keys|images/      small JSON files, written last
 *     repositories/<name>/tags|manifests/
 *     tmp/<process>.<random>/          whatever is being written; left over only by a crash
 */
export class StoreFolder {
  readonly root: string
  readonly #process = processToken()

  constructor(root: string) {
    this.root = root
  }

  get blobs(): string {
    return join(this.root, 'blobs')
  }

  get layers(): string {
    return join(this.root, 'layers')
  }

  get chains(): string {
    return join(this.root, 'chains')
  }

  get layerRecords(): string {
    return join(this.root, 'records', 'layers')
  }

  get keyRecords(): string {
    return join(this.root, 'records', 'keys')
  }

  get imageRecords(): string {
    return join(this.root, 'records', 'images')
  }

  get repositories(): string {
    return join(this.root, 'repositories')
  }

  layerTree(diffId: Digest): string {
    return join(this.layers, hexOf(diffId))
  }

  chainTree(chainId: Digest): string {
    return join(this.chains, hexOf(chainId))
  }

  layerRecord(diffId: Digest): string {
    return join(this.layerRecords, `${hexOf(diffId)}.json`)
  }

  keyRecord(key: string): string {
    return join(this.keyRecords, `${hexOf(sha256(key))}.json`)
  }

  imageRecord(digest: BlobDigest): string {
    return join(this.imageRecords, `${hexOf(digest)}.json`)
  }

  /** A path below tmp/ that does not exist. */
  newTemporary(): string {
    return join(this.root, 'tmp', `${this.#process}.${randomBytes(8).toString('hex')}`)
  }

  /** Creates the folders; only we may look inside: layers can hold setuid files and other people's secrets. */
  async create(): Promise<void> {
    for (const path of [
      this.blobs,
      this.layers,
      this.chains,
      this.layerRecords,
      this.keyRecords,
      this.imageRecords,
      this.repositories,
      join(this.root, 'tmp'),
    ]) {
      await mkdir(path, { recursive: true, mode: 0o700 })
    }
  }

  /** Removes what processes that are gone left in tmp/. */
  async sweepTemporary(): Promise<void> {
    const folder = join(this.root, 'tmp')
    for (const name of await readdir(folder)) {
      if (isAlive(name.split('.')[0] ?? '')) continue
      await rm(join(folder, name), { recursive: true, force: true })
    }
  }
}

// Private

/** A pid alone comes back after a restart; with its start time it does not. */
function processToken(): string {
  return `${process.pid}-${startTime(process.pid) ?? '0'}`
}

function isAlive(token: string): boolean {
  const [pid = '', started = ''] = token.split('-')
  if (!/^[1-9]\d{0,9}$/.test(pid)) return false
  const now = startTime(Number(pid))
  if (now !== null) return now === started
  // No /proc on this system: a signal 0 tells whether the pid exists.
  if (started !== '0') return false
  try {
    process.kill(Number(pid), 0)
    return true
  } catch (error) {
    return errno(error) === 'EPERM'
  }
}

/** Field 22 of proc_pid_stat(5); the command name before it may contain anything. */
function startTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}
