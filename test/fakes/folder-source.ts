import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import type { Digest } from '../../src/model/release.ts'
import type { SourceEntry, SourceTree } from '../../src/model/source.ts'

/** A source tree that reads a folder of this host in place. The folder must not change while it is used. */
export class FolderSource implements SourceTree {
  readonly entries: readonly SourceEntry[]
  readonly #files = new Map<Digest, string>()
  readonly #paths = new Map<string, string>()

  constructor(folder: string) {
    const entries: SourceEntry[] = []
    for (const found of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      const file = join(found.parentPath, found.name)
      const path = relative(folder, file).split(sep).join('/')
      if (found.isSymbolicLink()) {
        entries.push({ type: 'symlink', path, target: readlinkSync(file) })
      } else if (found.isFile()) {
        const { size, mode } = statSync(file)
        const hex = createHash('sha256').update(readFileSync(file)).digest('hex')
        const digest: Digest = `sha256:${hex}`
        this.#files.set(digest, file)
        this.#paths.set(path, file)
        entries.push({ type: 'file', path, size, executable: (mode & 0o111) !== 0, digest })
      }
    }
    this.entries = entries.sort((a, b) => (a.path < b.path ? -1 : 1))
  }

  contentPath(digest: Digest): string {
    const file = this.#files.get(digest)
    if (file === undefined) throw new Error(`no file has digest ${digest}`)
    return file
  }

  readText(path: string, limit = 1 << 20): Promise<string | null> {
    const file = this.#paths.get(path)
    return Promise.resolve(file === undefined ? null : readFileSync(file, 'utf8').slice(0, limit))
  }
}
