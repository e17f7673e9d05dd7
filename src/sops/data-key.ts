import type { MetadataObject } from './document.ts'
import type { KeyKind, KeyOpener } from './keys/key-kind.ts'
import { idOf, KIND_NAMES, namesOf } from './keys/key-names.ts'
import type { KeyType, WrappedKey } from './metadata.ts'
import { combine, split } from './shamir.ts'
import { SopsError } from './sops-error.ts'

export const DATA_KEY_BYTES = 32

/** A reader that a file is to have. */
export interface MasterKey {
  readonly type: KeyType
  /** What names it: an age recipient, a PGP fingerprint, an ARN… */
  readonly id: string
  /** The same as fields of a file, with what a text cannot hold (the context of KMS); absent: those of `id`. */
  readonly names?: MetadataObject
}

/** What wraps and opens: one kind, or several of different types. A file is opened by the first of them that can. */
export type Keys = KeyKind | readonly KeyKind[]
/** What only opens, the same way. */
export type Openers = KeyOpener | readonly KeyOpener[]

export interface Wrapping {
  readonly keys: Keys
  readonly random: (bytes: number) => Buffer
  /** Milliseconds since 1970. */
  readonly now: () => number
}

export function masterKeyOf({ type, fields }: WrappedKey): MasterKey {
  const names = Object.entries(fields).filter(([name]) => name !== 'enc' && name !== 'created_at')
  return { type, id: idOf(type, fields), names: Object.fromEntries(names) }
}

/** The data key of a file. @throws SopsError NO_KEY naming what the file is encrypted for and why each did not open */
export async function unwrapDataKey(
  groups: readonly (readonly WrappedKey[])[],
  threshold: number,
  keys: Openers,
): Promise<Buffer> {
  const refusals: SopsError[] = []
  const needed = groups.length === 1 ? 1 : threshold === 0 ? groups.length : threshold
  const parts: Buffer[] = []
  let shut = groups
  // Nobody is asked for anything before all that opens by itself has been tried.
  for (const open of [unwrapped, unwrappedAsking]) {
    const left: (readonly WrappedKey[])[] = []
    for (const group of shut) {
      const part = parts.length < needed ? await openGroup(group, keys, { open, refusals }) : null
      if (part === null) left.push(group)
      else parts.push(part)
    }
    shut = left
  }
  if (parts.length < needed) throw closed(groups, { opened: parts.length, needed, refusals })
  const [only] = parts
  const key = groups.length === 1 && only !== undefined ? only : combine(parts)
  if (key.length === DATA_KEY_BYTES) return key
  throw new SopsError(
    'INVALID_METADATA',
    `the data key has ${key.length} bytes, not ${DATA_KEY_BYTES}`,
  )
}

/** Wraps the data key for all readers, split among the groups where there are several. @throws SopsError UNSUPPORTED for a kind that is not given, and as KeyKind */
export async function wrapDataKey(
  dataKey: Buffer,
  groups: readonly (readonly MasterKey[])[],
  threshold: number,
  wrapping: Wrapping,
): Promise<WrappedKey[][]> {
  if (groups.length === 0 || groups.some((group) => group.length === 0)) {
    throw new SopsError('INVALID_KEY', 'a file needs at least one recipient in every key group')
  }
  const shares =
    groups.length === 1
      ? [dataKey]
      : split(
          dataKey,
          { parts: groups.length, threshold: threshold === 0 ? groups.length : threshold },
          wrapping.random,
        )
  return Promise.all(
    groups.map((group, index) =>
      Promise.all(group.map((key) => wrap(key, shares[index] ?? Buffer.alloc(0), wrapping))),
    ),
  )
}

async function wrap(
  { type, id, names = namesOf(type, id) }: MasterKey,
  bytes: Buffer,
  { keys, now }: Wrapping,
): Promise<WrappedKey> {
  const kind = kindOf(keys, type)
  if (kind === undefined) throw unsupported(type)
  const wrapped = await kind.wrap(names, bytes)
  const createdAt = new Date(now()).toISOString().replace(/\.\d+Z$/, 'Z')
  return {
    type,
    fields: { ...names, ...(type === 'age' ? {} : { created_at: createdAt }), ...wrapped },
  }
}

type Open = (opener: KeyOpener, fields: MetadataObject) => Promise<Buffer | null>

const unwrapped: Open = (opener, fields) => opener.unwrap(fields)
const unwrappedAsking: Open = async (opener, fields) =>
  (await opener.unwrapAsking?.(fields)) ?? null

async function openGroup(
  group: readonly WrappedKey[],
  keys: Openers,
  { open, refusals }: { readonly open: Open; readonly refusals: SopsError[] },
): Promise<Buffer | null> {
  const order = isList(keys) ? keys.map(({ type }) => type) : [keys.type]
  const place = ({ type }: WrappedKey): number =>
    order.includes(type) ? order.indexOf(type) : order.length
  for (const { type, fields } of group.toSorted((a, b) => place(a) - place(b))) {
    const kind = kindOf(keys, type)
    if (kind === undefined) {
      refusals.push(unsupported(type))
      continue
    }
    try {
      const opened = await open(kind, fields)
      if (opened !== null) return opened
    } catch (error) {
      if (!(error instanceof SopsError) || !mayTryAnother(error)) throw error
      refusals.push(error)
    }
  }
  return null
}

/** Another key of the file may do where a service is away; a file that was tampered with is refused whole. */
function mayTryAnother({ code }: SopsError): boolean {
  return code === 'KEY_FAILED' || code === 'UNSUPPORTED' || code === 'INVALID_KEY'
}

function kindOf<T extends KeyOpener>(keys: T | readonly T[], type: KeyType): T | undefined {
  return isList(keys)
    ? keys.find((kind) => kind.type === type)
    : keys.type === type
      ? keys
      : undefined
}

function isList<T>(keys: T | readonly T[]): keys is readonly T[] {
  return Array.isArray(keys)
}

interface Attempt {
  readonly opened: number
  readonly needed: number
  readonly refusals: readonly SopsError[]
}

function closed(
  groups: readonly (readonly WrappedKey[])[],
  { opened, needed, refusals }: Attempt,
): SopsError {
  const keys = groups.flat().map(masterKeyOf)
  const names = keys.map(({ type, id }) => `${KIND_NAMES[type]} ${id}`).join(', ')
  const groupsText = needed > 1 ? ` (${opened} of ${needed} key groups opened)` : ''
  const reasons = [...new Set(refusals.map(({ message }) => message))].join('; ')
  return new SopsError(
    'NO_KEY',
    `no identity here opens the file${groupsText}; it is encrypted for ${names}${reasons === '' ? '' : `: ${reasons}`}`,
    refusals.find(({ code }) => code === 'KEY_FAILED') ?? refusals[0],
  )
}

function unsupported(type: KeyType): SopsError {
  return new SopsError('UNSUPPORTED', `keys of ${KIND_NAMES[type]} are not supported here`)
}
