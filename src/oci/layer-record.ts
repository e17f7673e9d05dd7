import { readFile, utimes } from 'node:fs/promises'
import { writeAtomically, isMissing } from '../lib/atomic-file.ts'
import { parseDigest, type Digest } from './digest.ts'
import { OciError } from './oci-error.ts'
import { Fields, parseStrictJson } from './strict-json.ts'

export interface StoredLayer {
  /** Of the uncompressed tar: names the content. */
  readonly diffId: Digest
  /** Of the compressed blob. */
  readonly digest: Digest
  /** Bytes of the compressed blob. */
  readonly size: number
  readonly mediaType: string
}

/** What is known of a layer once its tar was read. */
export interface LayerRecord extends StoredLayer {
  /** Uncompressed bytes of file contents. */
  readonly contentBytes: number
  /** True = the tree alone, stacked by overlayfs, means what the tar means: no whiteouts, no links into other layers. */
  readonly stackable: boolean
  /**
   * At most two levels deep: folders without an entry of their own, and symlinks. Where a lower layer has a symlink at the place of such a folder,
   * the tar means "through the symlink" and overlayfs would hide it.
   */
  readonly implied: readonly string[]
  readonly symlinks: readonly string[]
}

/** Null where there is none. @throws OciError INTERNAL where the file is damaged */
export async function readLayerRecord(path: string): Promise<LayerRecord | null> {
  const bytes = await readRecord(path)
  if (bytes === null) return null
  const fields = new Fields(parseStrictJson(bytes, 'layer record'), 'layer record')
  const mediaType = fields.string('mediaType')
  const size = fields.integer('size')
  const contentBytes = fields.integer('contentBytes')
  if (mediaType === null || size === null || contentBytes === null) {
    throw new OciError('INTERNAL', `layer record ${path} is incomplete`)
  }
  return {
    diffId: parseDigest(fields.string('diffId') ?? ''),
    digest: parseDigest(fields.string('digest') ?? ''),
    size,
    mediaType,
    contentBytes,
    stackable: fields.boolean('stackable'),
    implied: fields.strings('implied'),
    symlinks: fields.strings('symlinks'),
  }
}

export async function readRecord(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path)
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

export async function writeRecord(path: string, record: object): Promise<void> {
  await writeAtomically(path, `${JSON.stringify(record)}\n`)
}

/** Garbage collection goes by the time of last use. */
export async function touchRecord(path: string, now: number): Promise<void> {
  await utimes(path, now / 1000, now / 1000)
}

/** The part of a path list that `LayerRecord` keeps: at most two levels deep. */
export function shallow(paths: Iterable<string>): string[] {
  return [...paths].filter((path) => path.split('/', 3).length <= 2).sort()
}
