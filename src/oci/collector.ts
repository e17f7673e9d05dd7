import { readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { BlobStore } from './blob-store.ts'
import { chainIds, hexOf, isBlobDigest, isDigest, type BlobDigest } from './digest.ts'
import { MAX_CONFIG_BYTES, parseImageConfig } from './image-config.ts'
import { readLayerRecord } from './layer-record.ts'
import { MAX_MANIFEST_BYTES, parseManifest } from './manifest.ts'
import { CONFIG_TYPES } from './media-type.ts'
import { errno, OciError } from './oci-error.ts'
import type { RepositoryStore } from './repository-store.ts'
import type { SharedLock } from './shared-lock.ts'
import type { StoreFolder } from './store-folder.ts'

interface CollectorOptions {
  readonly folder: StoreFolder
  readonly blobs: BlobStore
  readonly repositories: RepositoryStore
  readonly lock: SharedLock
}

export interface Collected {
  /** Images that are gone. */
  readonly images: number
  /** Compressed bytes that were freed; unpacked folders come on top. */
  readonly bytes: number
}

/** Mark and sweep. Alone while it decides: a push between mark and sweep would lose what it relies on. */
export class Collector {
  readonly #options: CollectorOptions

  constructor(options: CollectorOptions) {
    this.#options = options
  }

  /** Keeps what `keep` and tags reach, what refers to that, and whatever was used after `before` (milliseconds since 1970). */
  async collect(keep: ReadonlySet<BlobDigest>, before: number): Promise<Collected> {
    const doomed: string[] = []
    const result = await this.#options.lock.exclusive(async () => {
      const marked = await this.#mark(keep, before)
      await this.#sweepRepositories(marked, before)
      const images = await this.#sweepImages(marked, before)
      await this.#sweepLayers(marked, before, doomed)
      const bytes = await this.#sweepBlobs(marked, before)
      return { images, bytes }
    })
    // Many thousand small files: out of sight under the lock, removed after it.
    for (const path of doomed) await rm(path, { recursive: true, force: true })
    return result
  }

  // Private

  async #mark(keep: ReadonlySet<BlobDigest>, before: number): Promise<Marked> {
    const { folder, repositories } = this.#options
    const marked: Marked = { blobs: new Set(), diffIds: new Set(), chainIds: new Set() }
    const todo: BlobDigest[] = [...keep]
    const referrers = new Map<BlobDigest, BlobDigest[]>()
    for (const repository of await repositories.list()) {
      for (const tag of await repositories.tags(repository)) {
        const digest = await repositories.tag(repository, tag)
        if (digest !== null) todo.push(digest)
      }
      for (const { digest, subject } of await repositories.manifests(repository)) {
        if (subject === null) continue
        referrers.set(subject, [...(referrers.get(subject) ?? []), digest])
      }
    }
    for await (const { name, usedAt } of filesOf(folder.imageRecords)) {
      const digest = `sha256:${name.replace(/\.json$/, '')}`
      if (usedAt > before && isDigest(digest)) todo.push(digest)
    }
    for await (const { digest, usedAt } of this.#youngManifests()) {
      if (usedAt > before) todo.push(digest)
    }
    for (let digest = todo.pop(); digest !== undefined; digest = todo.pop()) {
      if (marked.blobs.has(digest)) continue
      marked.blobs.add(digest)
      todo.push(...(referrers.get(digest) ?? []), ...(await this.#markManifest(digest, marked)))
    }
    return marked
  }

  /** Manifests that were pushed by digest and not yet tagged. */
  async *#youngManifests(): AsyncGenerator<{ digest: BlobDigest; usedAt: number }> {
    const { repositories, blobs } = this.#options
    for (const repository of await repositories.list()) {
      for (const { digest } of await repositories.manifests(repository)) {
        try {
          yield { digest, usedAt: (await stat(blobs.path(digest))).mtimeMs }
        } catch (error) {
          if (errno(error) !== 'ENOENT') throw error
        }
      }
    }
  }

  /** Marks what the manifest names and returns further manifests. What cannot be read is kept, but leads nowhere. */
  async #markManifest(digest: BlobDigest, marked: Marked): Promise<readonly BlobDigest[]> {
    const { blobs } = this.#options
    try {
      const bytes = await blobs.readAll(digest, MAX_MANIFEST_BYTES)
      if (bytes === null) return []
      const document = parseManifest(bytes, null)
      if (document.kind === 'index') return document.manifests.map((entry) => entry.digest)
      marked.blobs.add(document.config.digest)
      for (const layer of document.layers) marked.blobs.add(layer.digest)
      if (!CONFIG_TYPES.includes(document.config.mediaType)) return []
      const config = await blobs.readAll(document.config.digest, MAX_CONFIG_BYTES)
      if (config === null) return []
      const { diffIds } = parseImageConfig(config)
      for (const diffId of diffIds) marked.diffIds.add(hexOf(diffId))
      for (const chainId of chainIds(diffIds)) marked.chainIds.add(hexOf(chainId))
      return []
    } catch (error) {
      if (error instanceof OciError) return []
      throw error
    }
  }

  /** Untagged manifests that nothing reaches, and links to blobs of nothing that is kept. */
  async #sweepRepositories(marked: Marked, before: number): Promise<void> {
    const { repositories } = this.#options
    for (const repository of await repositories.list()) {
      for (const { digest } of await repositories.manifests(repository)) {
        if (!marked.blobs.has(digest)) await repositories.deleteManifest(repository, digest)
      }
      for (const { digest, linkedAt } of await repositories.blobs(repository)) {
        if (marked.blobs.has(digest) || linkedAt > before) continue
        await repositories.unlinkBlob(repository, digest)
      }
      await repositories.prune(repository)
    }
  }

  async #sweepImages(marked: Marked, before: number): Promise<number> {
    const { folder } = this.#options
    let count = 0
    for await (const { path, name, usedAt } of filesOf(folder.imageRecords)) {
      const digest = `sha256:${name.replace(/\.json$/, '')}`
      if (usedAt > before || (isBlobDigest(digest) && marked.blobs.has(digest))) continue
      await rm(path, { force: true })
      count += 1
    }
    return count
  }

  async #sweepLayers(marked: Marked, before: number, doomed: string[]): Promise<void> {
    const { folder } = this.#options
    const young = new Set<string>()
    for await (const { path, name, usedAt } of filesOf(folder.layerRecords)) {
      const hex = name.replace(/\.json$/, '')
      if (marked.diffIds.has(hex) || usedAt > before) {
        young.add(hex)
        const record = await readLayerRecord(path)
        if (record !== null) marked.blobs.add(record.digest)
      } else {
        await rm(path, { force: true })
      }
    }
    for await (const { path, usedAt } of filesOf(folder.keyRecords)) {
      if (usedAt <= before) await rm(path, { force: true })
    }
    await this.#doom(folder.layers, (hex) => young.has(hex), doomed)
    await this.#doom(folder.chains, (hex) => marked.chainIds.has(hex), doomed)
  }

  async #doom(parent: string, isKept: (hex: string) => boolean, doomed: string[]): Promise<void> {
    for (const name of await readdir(parent)) {
      if (isKept(name)) continue
      const away = this.#options.folder.newTemporary()
      await rename(join(parent, name), away)
      doomed.push(away)
    }
  }

  async #sweepBlobs(marked: Marked, before: number): Promise<number> {
    const { blobs } = this.#options
    let bytes = 0
    for await (const { digest, size, usedAt } of blobs.list()) {
      if (marked.blobs.has(digest) || usedAt > before) continue
      if (await blobs.delete(digest)) bytes += size
    }
    return bytes
  }
}

interface Marked {
  readonly blobs: Set<BlobDigest>
  readonly diffIds: Set<string>
  readonly chainIds: Set<string>
}

async function* filesOf(
  folder: string,
): AsyncGenerator<{ path: string; name: string; usedAt: number }> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    try {
      yield { path, name, usedAt: (await stat(path)).mtimeMs }
    } catch (error) {
      if (errno(error) !== 'ENOENT') throw error
    }
  }
}
