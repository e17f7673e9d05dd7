import type { Digest } from './release.ts'

/** One entry of a packed source tree. `path` is relative, '/'-separated, normalised, without '.', '..' or empty segments. */
export type SourceEntry =
  | {
      readonly type: 'file'
      readonly path: string
      readonly size: number
      readonly executable: boolean
      readonly digest: Digest
    }
  | { readonly type: 'symlink'; readonly path: string; readonly target: string }

export interface Source {
  /** sha256 of the canonical JSON of the entries: the same tree has the same id. */
  readonly id: Digest
  /** Sorted by the bytes of the path, no duplicates. */
  readonly entries: readonly SourceEntry[]
}

/** Read-only view of a source whose contents are all present. */
export interface SourceTree {
  readonly entries: readonly SourceEntry[]
  /** Absolute path of a file's content on this host; content files are immutable and owned by the content store. */
  contentPath(digest: Digest): string
  /** UTF-8 text of a file up to `limit` bytes (default 1 MiB); null where the path is absent or not a file. */
  readText(path: string, limit?: number): Promise<string | null>
  /**
   * True = content files may get more hard links and another owner and time: nobody ever writes to them, also not by other
   * names. Absent = they are somebody's working files.
   */
  readonly linkable?: boolean
}

/** Content-addressed files sent by clients. */
export interface SourceStore {
  /** Which of these contents the store lacks; order kept, duplicates removed. */
  missing(digests: readonly Digest[]): Promise<readonly Digest[]>
  /**
   * Stores one content. Idempotent.
   * @throws FairwayError DIGEST_MISMATCH, TOO_LARGE, DISK_FULL
   */
  writeContent(digest: Digest, size: number, body: AsyncIterable<Uint8Array>): Promise<void>
  /**
   * Records a tree.
   * @throws FairwayError INVALID_SOURCE for unsafe paths, links that leave the tree, duplicates; SOURCE_INCOMPLETE for missing contents
   */
  save(entries: readonly SourceEntry[]): Promise<Source>
  /** Null where the id is unknown or was collected. */
  open(id: string): Promise<SourceTree | null>
  /** Deletes trees and contents that `keep` does not name and that are older than `olderThanMs`. Returns freed bytes. */
  collect(keep: ReadonlySet<string>, olderThanMs: number): Promise<number>
}
