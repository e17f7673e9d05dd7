/** A suite's Release file: its signature, its dates and the hashes of its indexes (repository format: wiki DebianRepository/Format). */
import { createMessage, readCleartextMessage, readSignature, verify, type Key } from 'openpgp'
import { parseStanzas, words } from './control-stanza.ts'
import { DebianError } from './debian-error.ts'

export interface ReleaseFile {
  readonly origin: string
  readonly suite: string
  readonly codename: string
  /** Milliseconds since 1970. */
  readonly date: number
  readonly validUntil: number | null
  readonly byHash: boolean
  readonly components: readonly string[]
  readonly architectures: readonly string[]
  /** Whether Packages of an architecture lack the packages of architecture `all`, which then have an index of their own. */
  readonly separateAll: boolean
  /** As apt_preferences(5) ranks it: 500, 100 (NotAutomatic with ButAutomaticUpgrades) or 1 (NotAutomatic). */
  readonly priority: number
  /** Path below the suite -> size in bytes and hexadecimal SHA-256. */
  readonly files: ReadonlyMap<string, IndexFile>
}

export interface IndexFile {
  readonly size: number
  readonly sha256: string
}

interface VerifyOptions {
  readonly keys: readonly Key[]
  readonly now: number
  /** What the file is, for messages. */
  readonly what: string
}

/** The signed text of an InRelease file. @throws DebianError SIGNATURE_INVALID unless one of the keys made a valid signature */
export async function verifyInRelease(text: string, options: VerifyOptions): Promise<string> {
  const { keys, now, what } = options
  // Text outside of the signed part would be ignored by the verifier: a file which has some is not one that an archive made.
  if (!/^-----BEGIN PGP SIGNED MESSAGE-----\r?\n/.test(text) || !endsWithSignature(text)) {
    throw new DebianError('SIGNATURE_INVALID', `${what} is not one clear-signed message`)
  }
  const message = await readCleartextMessage({ cleartextMessage: text }).catch((cause: unknown) => {
    throw new DebianError('SIGNATURE_INVALID', `${what} is no readable signed message`, cause)
  })
  const verified = await verify({ message, verificationKeys: [...keys], date: new Date(now) })
  await requireValid(verified.signatures, what)
  return verified.data
}

/** Checks Release against its detached Release.gpg. @throws DebianError SIGNATURE_INVALID */
export async function verifyDetached(
  text: string,
  armored: string,
  options: VerifyOptions,
): Promise<string> {
  const { keys, now, what } = options
  const signature = await readSignature({ armoredSignature: armored }).catch((cause: unknown) => {
    throw new DebianError('SIGNATURE_INVALID', `${what} is no readable signature`, cause)
  })
  const message = await createMessage({ binary: new TextEncoder().encode(text) })
  const { signatures } = await verify({
    message,
    signature,
    verificationKeys: [...keys],
    date: new Date(now),
  })
  await requireValid(signatures, what)
  return text
}

/** @throws DebianError INDEX_INVALID where a needed field is missing or unreadable */
export function parseRelease(text: string, what: string): ReleaseFile {
  const stanza = readStanza(text, what)
  const date = parseDate(stanza.get('date'))
  if (date === null) throw new DebianError('INDEX_INVALID', `${what} has no readable Date`)
  const until = stanza.get('valid-until')
  const validUntil = until === undefined ? null : parseDate(until)
  if (until !== undefined && validUntil === null) {
    throw new DebianError('INDEX_INVALID', `${what} has an unreadable Valid-Until: ${until}`)
  }
  const architectures = words(stanza.get('architectures'))
  const forAll = words(stanza.get('no-support-for-architecture-all'))
  return {
    origin: stanza.get('origin') ?? '',
    suite: stanza.get('suite') ?? '',
    codename: stanza.get('codename') ?? '',
    date,
    validUntil,
    byHash: stanza.get('acquire-by-hash') === 'yes',
    components: words(stanza.get('components')),
    architectures,
    separateAll: architectures.includes('all') && !forAll.includes('Packages'),
    priority: rank(stanza.get('notautomatic'), stanza.get('butautomaticupgrades')),
    files: parseFiles(stanza.get('sha256'), what),
  }
}

function readStanza(text: string, what: string): ReadonlyMap<string, string> {
  try {
    const [stanza] = parseStanzas(text)
    return stanza ?? new Map<string, string>()
  } catch (cause) {
    throw new DebianError('INDEX_INVALID', `${what}: ${String(cause)}`, cause)
  }
}

function parseFiles(field: string | undefined, what: string): Map<string, IndexFile> {
  const files = new Map<string, IndexFile>()
  for (const line of (field ?? '').split('\n')) {
    if (line.trim() === '') continue
    const match = /^([0-9a-f]{64})\s+(\d{1,15})\s+(\S+)$/.exec(line.trim())
    if (match === null) throw new DebianError('INDEX_INVALID', `${what}: bad SHA256 line: ${line}`)
    const [, sha256 = '', size = '', path = ''] = match
    files.set(path, { sha256, size: Number(size) })
  }
  if (files.size === 0) throw new DebianError('INDEX_INVALID', `${what} lists no SHA256 hashes`)
  return files
}

function rank(notAutomatic: string | undefined, butUpgrades: string | undefined): number {
  if (notAutomatic !== 'yes') return 500
  return butUpgrades === 'yes' ? 100 : 1
}

function parseDate(text: string | undefined): number | null {
  const ms = Date.parse(text ?? '')
  return Number.isNaN(ms) ? null : ms
}

function endsWithSignature(text: string): boolean {
  const end = '-----END PGP SIGNATURE-----'
  return text.trimEnd().endsWith(end) && text.indexOf(end) === text.lastIndexOf(end)
}

async function requireValid(
  signatures: Awaited<ReturnType<typeof verify>>['signatures'],
  what: string,
): Promise<void> {
  const reasons: string[] = []
  for (const { verified, keyID } of signatures) {
    try {
      await verified
      return
    } catch (error) {
      reasons.push(`${keyID.toHex()}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  const why = reasons.length === 0 ? 'it has no signature' : reasons.join('; ')
  throw new DebianError('SIGNATURE_INVALID', `${what} has no valid signature (${why})`)
}
