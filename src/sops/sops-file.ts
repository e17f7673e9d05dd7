import { createHash, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto'
import {
  DATA_KEY_BYTES,
  masterKeyOf,
  unwrapDataKey,
  wrapDataKey,
  type Keys,
  type MasterKey,
  type Openers,
} from './data-key.ts'
import { edited, type Document, type Edit, type Format, type Leaf } from './document.ts'
import { decryptValue, encryptValue, IV_BYTES, looksEncrypted } from './encrypted-value.ts'
import { ageIdentities } from './keys/age.ts'
import { metadataObject, parseMetadata, type Metadata } from './metadata.ts'
import { scalar, textOf, type Scalar } from './scalar.ts'
import { chooser, type Selector } from './selector.ts'
import { SopsError } from './sops-error.ts'

/** sops.go MACOnlyEncryptedInitialization. */
const ONLY_ENCRYPTED = createHash('sha256').update('sops').digest()
/** What we write as the version of sops that wrote a file. */
const VERSION = '3.13.2'

/** A decrypted file, with what it takes to encrypt it again so that unchanged values keep their bytes. */
export interface OpenFile {
  /** The document in clear, without the `sops` block; all else byte for byte as it stood. */
  readonly text: string
  readonly metadata: Metadata
  readonly dataKey: Buffer
  /** Encrypted texts by path, type and plaintext: written again only for the very same, so that an edit changes few lines (aes/cipher.go stash). */
  readonly sealed: ReadonlyMap<string, string>
  /** What `format.read(text)` would find beside comments, in its order. */
  readonly values: () => Promise<readonly OpenValue[]>
}

export type OpenValue = Pick<Leaf, 'at' | 'scalar'>

/** Who may read a new file and what is encrypted in it. */
export interface FileRule {
  readonly groups: readonly (readonly MasterKey[])[]
  /** 0: all groups. */
  readonly threshold: number
  readonly selector: Selector
  readonly macOnlyEncrypted: boolean
}

export interface Sources {
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly random: (bytes: number) => Buffer
  /** What wraps the data key of a new or rotated file; absent: age alone. */
  readonly keys?: Keys
  /** Spaces per level of the `sops` block (`stores` of .sops.yaml); absent: sops's own. */
  readonly indent?: number | null
}

/**
 * Decrypts a document and verifies its MAC.
 * @throws SopsError INVALID_DOCUMENT, INVALID_METADATA, NO_KEY, UNSUPPORTED, TAMPERED
 */
export async function decryptFile(format: Format, text: string, keys: Openers): Promise<OpenFile> {
  const document = await format.read(text)
  if (document.metadata === null) {
    throw new SopsError('INVALID_METADATA', 'the file is not encrypted: it has no sops block')
  }
  const metadata = parseMetadata(document.metadata)
  const dataKey = await unwrapDataKey(metadata.groups, metadata.threshold, keys)
  const key = createSecretKey(dataKey)
  const { edits, sealed, mac, values } = openLeaves(document, metadata, key)
  const { value } = decryptValue(metadata.mac, key, metadata.lastModified)
  if (value.bytes.length !== mac.length || !timingSafeEqual(value.bytes, mac)) {
    throw new SopsError(
      'TAMPERED',
      'the MAC does not fit: the file was changed by something other than sops',
    )
  }
  const clear = edited(text, [...edits, ...document.withoutMetadata])
  return {
    ...{ text: clear, metadata, dataKey, sealed },
    values: async () => values ?? valuesOf(await format.read(clear)),
  }
}

/** Encrypts a plain document for the first time. @throws SopsError INVALID_DOCUMENT (it has a `sops` block already), UNSUPPORTED, INVALID_KEY */
export async function encryptFile(
  format: Format,
  text: string,
  rule: FileRule,
  sources: Sources,
): Promise<string> {
  const dataKey = sources.random(DATA_KEY_BYTES)
  const groups = await wrapDataKey(dataKey, rule.groups, rule.threshold, {
    ...sources,
    keys: sources.keys ?? ageIdentities(''),
  })
  // As sops: all groups are needed, and the file says how many that are.
  const threshold = groups.length > 1 && rule.threshold === 0 ? groups.length : rule.threshold
  const metadata = { ...rule, groups, threshold, lastModified: '', mac: '', version: VERSION }
  return encryptAgain(format, text, { metadata, dataKey, sealed: new Map() }, sources)
}

/** Encrypts `text`, an edited form of `file.text`, with the same keys: what did not change keeps its bytes. @throws SopsError as encryptFile */
export async function encryptAgain(
  format: Format,
  text: string,
  file: Pick<OpenFile, 'metadata' | 'dataKey' | 'sealed'>,
  sources: Sources,
): Promise<string> {
  const document = await format.read(text)
  if (document.metadata !== null) {
    throw new SopsError('INVALID_DOCUMENT', 'the key "sops" is kept for the sops block')
  }
  const lastModified = new Date(sources.now()).toISOString().replace(/\.\d+Z$/, 'Z')
  const key = createSecretKey(file.dataKey)
  const { edits, mac } = sealLeaves(document, file, key, sources)
  const metadata: Metadata = {
    ...file.metadata,
    lastModified,
    mac: encryptValue({ type: 'str', bytes: mac }, key, lastModified, sources.random(IV_BYTES)),
    version: VERSION,
  }
  return edited(text, [
    ...edits,
    ...document.withMetadata(metadataObject(metadata), sources.indent ?? null),
  ])
}

/** The same plaintext under a new data key, for the given readers or the ones it has. @throws SopsError as encryptFile */
export async function rotateFile(
  format: Format,
  file: OpenFile,
  groups: readonly (readonly MasterKey[])[] | null,
  sources: Sources,
): Promise<string> {
  const { selector, macOnlyEncrypted, threshold } = file.metadata
  const readers = groups ?? file.metadata.groups.map((group) => group.map(masterKeyOf))
  return encryptFile(
    format,
    file.text,
    { groups: readers, selector, macOnlyEncrypted, threshold },
    sources,
  )
}

/** Leaves that the selector wants encrypted and that are not: what a pre-commit check looks for. */
export function plaintextLeaves(document: Document, selector: Selector): Leaf[] {
  const isEncrypted = chooser(selector)
  return document.leaves.filter(
    (leaf) =>
      leaf.scalar.type !== 'null' &&
      leaf.scalar.type !== 'comment' &&
      leaf.scalar.bytes.length > 0 &&
      isEncrypted(leaf) &&
      !looksEncrypted(leaf.scalar.bytes.toString('utf8')),
  )
}

/** The values of a document. */
function valuesOf({ leaves }: Document): readonly OpenValue[] {
  return leaves.filter(({ scalar: { type } }) => type !== 'comment')
}

interface Opened {
  readonly edits: readonly Edit[]
  readonly sealed: ReadonlyMap<string, string>
  readonly mac: Buffer
  /** Null where what is left stands in other places than it stood. */
  readonly values: readonly OpenValue[] | null
}

function openLeaves(
  { leaves }: Document,
  { selector, macOnlyEncrypted }: Metadata,
  key: KeyObject,
): Opened {
  const isEncrypted = chooser(selector)
  const mac = new Mac(macOnlyEncrypted)
  const sealed = new Map<string, string>()
  const edits: Edit[] = []
  const values: OpenValue[] = []
  let isMoved = false
  for (const leaf of leaves) {
    if (leaf.scalar.type === 'null') {
      values.push(leaf)
      continue
    }
    const encrypted = isEncrypted(leaf)
    const found = encrypted ? openLeaf(leaf, key) : null
    const value = found?.value ?? leaf.scalar
    if (found !== null && found.iv.length > 0) {
      edits.push(
        asComment(leaf, value) ?? { start: leaf.start, end: leaf.end, text: leaf.write(value) },
      )
      if (found.iv.length === IV_BYTES && found.isMoved !== true)
        sealed.set(stashKey(leaf, value), textOf(leaf.scalar))
    }
    mac.add(value, encrypted)
    if (value.type === 'comment' && leaf.scalar.type !== 'comment') isMoved = true
    if (leaf.scalar.type !== 'comment') values.push({ at: leaf.at, scalar: value })
  }
  return { edits, sealed, mac: mac.digest(), values: isMoved ? null : values }
}

interface Found {
  readonly value: Scalar
  readonly iv: Buffer
  /** A comment that is bound to another level than the one it stands at: it is encrypted anew. */
  readonly isMoved?: boolean
}

function openLeaf(leaf: Leaf, key: KeyObject): Found | null {
  const text = textOf(leaf.scalar)
  if (leaf.scalar.type === 'comment') return openComment(leaf, text, key)
  if (leaf.scalar.type !== 'str') {
    throw new SopsError('TAMPERED', `${way(leaf)} should be encrypted and is not`)
  }
  const found = decryptValue(text, key, additionalData(leaf.path))
  if (found.value.type !== 'comment' || isListItem(leaf)) return found
  throw new SopsError('TAMPERED', `${way(leaf)} is a comment in the place of a value`)
}

/** sops writes the encrypted comments of a list as items of their own. */
function isListItem({ at, item }: Leaf): boolean {
  return typeof at.at(-1) === 'number' && item !== undefined
}

function asComment({ scalar: { type }, item }: Leaf, value: Scalar): Edit | null {
  if (value.type !== 'comment' || type === 'comment' || item === undefined) return null
  return { start: item.first, end: item.last, text: `#${textOf(value)}` }
}

/** A comment that sops moved to another level is bound to that level's path: those on the way are tried. One in clear was added by hand and stays. */
function openComment(leaf: Leaf, text: string, key: KeyObject): Found | null {
  if (!looksEncrypted(text)) return null
  for (let depth = leaf.path.length; depth >= 0; depth--) {
    try {
      const found = decryptValue(text, key, additionalData(leaf.path.slice(0, depth)))
      if (found.value.type === 'comment') return { ...found, isMoved: depth < leaf.path.length }
    } catch (error) {
      if (!(error instanceof SopsError) || depth === 0) throw error
    }
  }
  throw new SopsError('TAMPERED', `a comment below ${way(leaf)} holds a value`)
}

function sealLeaves(
  { leaves }: Document,
  { metadata, sealed }: Pick<OpenFile, 'metadata' | 'sealed'>,
  key: KeyObject,
  { random }: Sources,
): { readonly edits: Edit[]; readonly mac: Buffer } {
  const isEncrypted = chooser(metadata.selector)
  const mac = new Mac(metadata.macOnlyEncrypted)
  const edits: Edit[] = []
  for (const leaf of leaves) {
    const value = leaf.scalar
    if (value.type === 'null') continue
    const encrypted = isEncrypted(leaf)
    if (encrypted && value.bytes.length > 0) {
      const text =
        sealed.get(stashKey(leaf, value)) ??
        encryptValue(value, key, additionalData(leaf.path), random(IV_BYTES))
      const type = value.type === 'comment' ? 'comment' : 'str'
      edits.push({ start: leaf.start, end: leaf.end, text: leaf.write(scalar(type, text)) })
    }
    mac.add(value, encrypted)
  }
  return { edits, mac: mac.digest() }
}

class Mac {
  readonly #hash = createHash('sha512')
  readonly #onlyEncrypted: boolean

  constructor(onlyEncrypted: boolean) {
    this.#onlyEncrypted = onlyEncrypted
    if (onlyEncrypted) this.#hash.update(ONLY_ENCRYPTED)
  }

  add({ type, bytes }: Scalar, encrypted: boolean): void {
    if (type !== 'comment' && (encrypted || !this.#onlyEncrypted)) this.#hash.update(bytes)
  }

  digest(): Buffer {
    return Buffer.from(this.#hash.digest('hex').toUpperCase())
  }
}

function additionalData(path: readonly string[]): string {
  return `${path.join(':')}:`
}

function stashKey({ path }: Leaf, { type, bytes }: Scalar): string {
  return `${additionalData(path)}\0${type}\0${bytes.toString('latin1')}`
}

/** How a leaf is named for people: `servers[0].password`. */
export function way({ at }: Pick<Leaf, 'at'>): string {
  return at
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`))
    .join('')
    .replace(/^\./, '')
}
