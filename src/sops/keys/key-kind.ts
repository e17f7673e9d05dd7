import type { MetadataObject } from '../document.ts'
import type { KeyType } from '../metadata.ts'

/** What opens what was wrapped for one kind of master key. */
export interface KeyOpener {
  readonly type: KeyType
  /**
   * Opens what stands in a file. The file is not trusted: no credential may go to an address that only the file names.
   * @returns null where nothing here opens it
   * @throws SopsError KEY_FAILED, UNSUPPORTED (another key of the file may still do), INVALID_METADATA, TAMPERED
   */
  unwrap(fields: MetadataObject): Promise<Buffer | null>
  /**
   * Opens it with what only a person can give, a passphrase. Called once `unwrap` has failed for all keys of the file; absent: nobody is ever asked.
   * @returns null where nobody's answer would open it
   * @throws SopsError as `unwrap`
   */
  unwrapAsking?(fields: MetadataObject): Promise<Buffer | null>
}

/** One kind of master key: what wraps the data key (or a share of it) for a reader, and opens it again. One file of this folder each. */
export interface KeyKind extends KeyOpener {
  /**
   * Wraps bytes for the key that `names` names (`recipient`, `fp`, `arn`…, see key-names.ts).
   * @returns `enc`, and names that became known only now (the version of a key)
   * @throws SopsError KEY_FAILED where the service or program refuses or cannot be reached, INVALID_KEY, UNSUPPORTED
   */
  wrap(names: MetadataObject, bytes: Buffer): Promise<MetadataObject>
}

/** What the kinds need of the machine they run on. */
export interface KeySurroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly home: string
  readonly fetch: KeyFetch
  /** Milliseconds since 1970. */
  readonly now: () => number
}

export type KeyFetch = (url: string, init: RequestInit) => Promise<Response>
