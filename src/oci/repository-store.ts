import { mkdir, readdir, rm, rmdir, stat, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { algorithmOf, hexOf, isBlobDigest, parseBlobDigest, type BlobDigest } from './digest.ts'
import { readRecord, writeRecord } from './layer-record.ts'
import { errno, OciError } from './oci-error.ts'
import { isRepositoryName, isTag } from './reference.ts'
import { Fields, parseStrictJson } from './strict-json.ts'

/** What a repository says of one of its manifests. */
export interface RepositoryManifest {
  readonly digest: BlobDigest
  readonly mediaType: string
  /** The manifest that this one refers to. */
  readonly subject: BlobDigest | null
}

/**
 * Which manifests, blobs and tags each repository has; the bytes lie in the blob store, once for all repositories. A blob is only visible in repositories
 * that it was pushed or mounted to: a digest alone must not open other people's images.
 */
export class RepositoryStore {
  readonly #root: string

  constructor(root: string) {
    this.#root = root
  }

  async putManifest(repository: string, manifest: RepositoryManifest): Promise<void> {
    const path = this.#file(repository, '_manifests', `${fileName(manifest.digest)}.json`)
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeRecord(path, manifest)
  }

  /** Null where the repository has no such manifest. */
  async manifest(repository: string, digest: BlobDigest): Promise<RepositoryManifest | null> {
    const bytes = await readRecord(this.#file(repository, '_manifests', `${fileName(digest)}.json`))
    if (bytes === null) return null
    const fields = new Fields(parseStrictJson(bytes, 'manifest record'), 'manifest record')
    const subject = fields.string('subject')
    return {
      digest,
      mediaType: fields.string('mediaType') ?? '',
      subject: subject === null ? null : parseBlobDigest(subject),
    }
  }

  /** In order of digests. */
  async manifests(repository: string): Promise<readonly RepositoryManifest[]> {
    const found: RepositoryManifest[] = []
    for (const name of await this.#names(repository, '_manifests')) {
      const digest = digestOfFile(name.replace(/\.json$/, ''))
      const manifest = digest === null ? null : await this.manifest(repository, digest)
      if (manifest !== null) found.push(manifest)
    }
    return found
  }

  /** With its tags. False where there was none. */
  async deleteManifest(repository: string, digest: BlobDigest): Promise<boolean> {
    for (const tag of await this.tags(repository)) {
      if ((await this.tag(repository, tag)) === digest) await this.deleteTag(repository, tag)
    }
    return await this.#delete(this.#file(repository, '_manifests', `${fileName(digest)}.json`))
  }

  async putTag(repository: string, tag: string, digest: BlobDigest): Promise<void> {
    if (!isTag(tag))
      throw new OciError('INVALID_REQUEST', `tag ${JSON.stringify(tag)} is not allowed`)
    const path = this.#file(repository, '_tags', tag)
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeRecord(path, { digest })
  }

  /** Null where there is no such tag. */
  async tag(repository: string, tag: string): Promise<BlobDigest | null> {
    if (!isTag(tag)) return null
    const bytes = await readRecord(this.#file(repository, '_tags', tag))
    if (bytes === null) return null
    const fields = new Fields(parseStrictJson(bytes, 'tag record'), 'tag record')
    return parseBlobDigest(fields.string('digest') ?? '')
  }

  /** In byte order. */
  async tags(repository: string): Promise<readonly string[]> {
    return (await this.#names(repository, '_tags')).filter(isTag)
  }

  async deleteTag(repository: string, tag: string): Promise<boolean> {
    return isTag(tag) && (await this.#delete(this.#file(repository, '_tags', tag)))
  }

  async linkBlob(repository: string, digest: BlobDigest, now: number): Promise<void> {
    const path = this.#file(repository, '_blobs', fileName(digest))
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeRecord(path, { linkedAt: now })
  }

  /** Makes blobs visible that the repository has not yet; those that it has are not written again. */
  async linkMissing(
    repository: string,
    blobs: readonly { readonly digest: BlobDigest }[],
    now: number,
  ): Promise<void> {
    const link = async ({ digest }: { readonly digest: BlobDigest }): Promise<void> => {
      if (!(await this.hasBlob(repository, digest))) await this.linkBlob(repository, digest, now)
    }
    await Promise.all(blobs.map(link))
  }

  async hasBlob(repository: string, digest: BlobDigest): Promise<boolean> {
    return (await readRecord(this.#file(repository, '_blobs', fileName(digest)))) !== null
  }

  /** Marks it as used now: garbage collection spares what is young. False where the repository has no such blob. */
  async touchBlob(repository: string, digest: BlobDigest, now: number): Promise<boolean> {
    try {
      await utimes(this.#file(repository, '_blobs', fileName(digest)), now / 1000, now / 1000)
      return true
    } catch (error) {
      if (errno(error) === 'ENOENT') return false
      throw error
    }
  }

  async unlinkBlob(repository: string, digest: BlobDigest): Promise<boolean> {
    return await this.#delete(this.#file(repository, '_blobs', fileName(digest)))
  }

  async blobs(repository: string): Promise<readonly { digest: BlobDigest; linkedAt: number }[]> {
    const found: { digest: BlobDigest; linkedAt: number }[] = []
    for (const name of await this.#names(repository, '_blobs')) {
      const digest = digestOfFile(name)
      if (digest === null) continue
      try {
        const { mtimeMs } = await stat(this.#file(repository, '_blobs', name))
        found.push({ digest, linkedAt: mtimeMs })
      } catch (error) {
        if (errno(error) !== 'ENOENT') throw error
      }
    }
    return found
  }

  /** True once something was ever pushed there. */
  async exists(repository: string): Promise<boolean> {
    for (const part of ['_manifests', '_tags', '_blobs']) {
      if ((await this.#names(repository, part)).length > 0) return true
    }
    return false
  }

  /** Names of all repositories, sorted. */
  async list(): Promise<readonly string[]> {
    const found: string[] = []
    await this.#collectNames('', found)
    return found.sort()
  }

  /** Removes folders that became empty. */
  async prune(repository: string): Promise<void> {
    for (const part of ['_manifests', '_tags', '_blobs']) {
      await removeIfEmpty(this.#file(repository, part))
    }
    await removeIfEmpty(this.#file(repository))
  }

  // Private

  /** Names of parts begin with '_', which no component of a repository name can: they never collide. */
  #file(repository: string, ...parts: string[]): string {
    if (!isRepositoryName(repository)) {
      throw new OciError(
        'INVALID_REQUEST',
        `repository name ${JSON.stringify(repository)} is not allowed`,
      )
    }
    return join(this.#root, repository, ...parts)
  }

  async #names(repository: string, part: string): Promise<string[]> {
    try {
      const names = await readdir(this.#file(repository, part))
      return names.filter((name) => !name.endsWith('.tmp')).sort()
    } catch (error) {
      if (errno(error) === 'ENOENT') return []
      throw error
    }
  }

  async #collectNames(name: string, found: string[]): Promise<void> {
    const entries = await readdir(join(this.#root, name), { withFileTypes: true })
    if (entries.some((entry) => entry.name.startsWith('_'))) found.push(name)
    for (const entry of entries) {
      if (!entry.isDirectory() || entry.name.startsWith('_')) continue
      await this.#collectNames(name === '' ? entry.name : `${name}/${entry.name}`, found)
    }
  }

  async #delete(path: string): Promise<boolean> {
    try {
      await rm(path)
      return true
    } catch (error) {
      if (errno(error) === 'ENOENT') return false
      throw error
    }
  }
}

// Private

function fileName(digest: BlobDigest): string {
  return `${algorithmOf(digest)}-${hexOf(digest)}`
}

function digestOfFile(name: string): BlobDigest | null {
  const text = name.replace('-', ':')
  return isBlobDigest(text) ? text : null
}

async function removeIfEmpty(path: string): Promise<void> {
  try {
    await rmdir(path)
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(errno(error) ?? '')) throw error
  }
}
