import { OciError } from './oci-error.ts'

interface Owner {
  /** As seen inside the container; default 0. */
  readonly uid?: number
  readonly gid?: number
  /** Whole seconds since 1970; default 0. */
  readonly mtime?: number
}

/** Paths are relative, '/'-separated, without a leading '/', '.', '..' or empty parts. Order does not matter; missing parents are added. */
export type LayerEntry = Owner &
  (
    | { readonly type: 'directory'; readonly path: string; readonly mode?: number }
    | {
        readonly type: 'file'
        readonly path: string
        readonly mode: number
        readonly content: FileContent
      }
    | { readonly type: 'symlink'; readonly path: string; readonly target: string }
  )

/** Where the bytes of a file entry are. */
export type FileContent = FileSource | { readonly bytes: Uint8Array }

export interface FileSource {
  /** Absolute path on this host; it must not change until the layer is made, nor afterwards where it may be linked. */
  readonly file: string
  readonly size: number
  /**
   * Lets the unpacked layer hard-link the file instead of copying it, which gives it the layer's owner, mode and time. Linked
   * only while it has no second name: what a package manager linked from its cache is copied. 'private' = nobody uses the file
   * after this layer. 'immutable' = it stays in use, nobody ever writes to it and other layers may link it too, where they need
   * the same owner, mode and time; only as root, since else programs in the layer own the file and could write to it.
   * Default: copied.
   */
  readonly link?: 'private' | 'immutable'
}

export function contentSize(content: FileContent): number {
  return 'bytes' in content ? content.bytes.length : content.size
}

/**
 * Byte-sorted, with every parent folder once (mode 0755, owner 0). @throws OciError INVALID_REQUEST for a bad path, a path
 * twice, or something below a file or symlink
 */
export async function sortedEntries(
  entries: Iterable<LayerEntry> | AsyncIterable<LayerEntry>,
): Promise<LayerEntry[]> {
  const byPath = new Map<string, LayerEntry>()
  for await (const entry of entries) {
    checkEntry(entry)
    if (byPath.has(entry.path)) throw bad(entry.path, 'stands twice in one layer')
    byPath.set(entry.path, entry)
  }
  for (const path of [...byPath.keys()]) addParents(byPath, path)
  return [...byPath.values()].sort((a, b) => compareBytes(a.path, b.path))
}

/** Order of the UTF-8 bytes. UTF-16 order differs from it only where surrogates take part. */
export function compareBytes(a: string, b: string): number {
  if (SURROGATE.test(a) || SURROGATE.test(b)) return Buffer.compare(Buffer.from(a), Buffer.from(b))
  return a < b ? -1 : a > b ? 1 : 0
}

// Private

const SURROGATE = /[\ud800-\udfff]/
const BAD_PATH = /^$|^\/|\/$|\/\/|\0|(?:^|\/)\.\.?(?:\/|$)|(?:^|\/)\.wh\./

function checkEntry(entry: LayerEntry): void {
  if (BAD_PATH.test(entry.path) || !entry.path.isWellFormed() || entry.path.length > 4096) {
    throw bad(entry.path, 'is not a clean relative path')
  }
  if (entry.type === 'symlink' && (entry.target === '' || entry.target.includes('\0'))) {
    throw bad(entry.path, 'is a symlink without a usable target')
  }
}

function addParents(byPath: Map<string, LayerEntry>, path: string): void {
  for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
    const parent = path.slice(0, end)
    const known = byPath.get(parent)
    if (known === undefined) byPath.set(parent, { type: 'directory', path: parent })
    else if (known.type !== 'directory') throw bad(path, `lies below the ${known.type} ${parent}`)
    else return
  }
}

function bad(path: string, why: string): OciError {
  return new OciError('INVALID_REQUEST', `layer entry ${JSON.stringify(path)} ${why}`)
}
