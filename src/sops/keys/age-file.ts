/** Opens small age files (age-encryption.org/v1). What writes them is `age-encryption`; it takes longer to load than all else that reading one value needs. */
import {
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  timingSafeEqual,
} from 'node:crypto'
import { SopsError } from '../sops-error.ts'
import { bech32Bytes } from './bech32.ts'

/** A data key wrapped for one recipient of a header. */
export interface AgeStanza {
  readonly args: readonly string[]
  readonly body: Buffer
}

/** Opens a stanza that is for it. */
export interface AgeIdentity {
  /** The file key, or null where the stanza is not for this identity. May take its time: post-quantum ones load their library. */
  unwrap(stanzas: readonly AgeStanza[]): Buffer | null | Promise<Buffer | null>
}

export interface AgeFile {
  readonly stanzas: readonly AgeStanza[]
  readonly header: Buffer
  readonly mac: Buffer
  readonly payload: Buffer
}

const LABEL = 'age-encryption.org/v1'
const MAX_HEADER = 1 << 16
const NONCE_BYTES = 16
const TAG_BYTES = 16
const FILE_KEY_BYTES = 16
const CHUNK_BYTES = 1 << 16

/** Reads the header. @throws SopsError INVALID_METADATA */
export function readAgeFile(armoured: string): AgeFile {
  const file = unarmoured(armoured)
  const text = file.subarray(0, MAX_HEADER).toString('latin1')
  const end = /\n--- ([A-Za-z0-9+/]{43})\n/.exec(text)
  if (!text.startsWith(`${LABEL}\n`) || end === null) throw malformed()
  const headerEnd = end.index + 4
  return {
    stanzas: stanzasIn(text.slice(LABEL.length + 1, end.index + 1)),
    header: file.subarray(0, headerEnd),
    mac: unpadded(end[1] ?? ''),
    payload: file.subarray(end.index + end[0].length),
  }
}

/** The content, or null where no identity fits. @throws SopsError TAMPERED where the file does not verify */
export async function openAgeFile(
  file: AgeFile,
  identities: readonly AgeIdentity[],
): Promise<Buffer | null> {
  for (const identity of identities) {
    const fileKey = await identity.unwrap(file.stanzas)
    if (fileKey !== null) return contentOf(file, fileKey)
  }
  return null
}

/** A native identity, `AGE-SECRET-KEY-1…`. @throws SopsError INVALID_KEY, without the text */
export function x25519Identity(text: string): AgeIdentity {
  const secret = bech32Bytes(text, 'age-secret-key-')
  if (secret.length !== 32) throw new SopsError('INVALID_KEY', 'it is no age identity')
  const own = publicOf(secret)
  return {
    unwrap: (stanzas) => {
      for (const { args, body } of stanzas) {
        if (args[0] !== 'X25519') continue
        const share = unpadded(args[1] ?? '')
        if (args.length !== 2 || share.length !== 32 || body.length !== 32) throw malformed()
        const key = derived(
          sharedSecret(secret, share),
          Buffer.concat([share, own]),
          `${LABEL}/X25519`,
        )
        const fileKey = openedFileKey(key, body)
        if (fileKey !== null) return fileKey
      }
      return null
    },
  }
}

const PKCS8_X25519 = Buffer.from('302e020100300506032b656e04220420', 'hex')
const SPKI_X25519 = Buffer.from('302a300506032b656e032100', 'hex')

/** X25519 of a scalar and a point. @throws SopsError TAMPERED for a point of small order */
export function sharedSecret(scalar: Buffer, point: Buffer): Buffer {
  try {
    return diffieHellman({
      privateKey: createPrivateKey({
        key: Buffer.concat([PKCS8_X25519, scalar]),
        format: 'der',
        type: 'pkcs8',
      }),
      publicKey: createPublicKey({
        key: Buffer.concat([SPKI_X25519, point]),
        format: 'der',
        type: 'spki',
      }),
    })
  } catch (cause) {
    throw new SopsError('TAMPERED', 'a wrapped data key of age has a bad share', cause)
  }
}

export function publicOf(scalar: Buffer): Buffer {
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_X25519, scalar]),
    format: 'der',
    type: 'pkcs8',
  })
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
}

export function derived(secret: Buffer, salt: Buffer, info: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, salt, info, 32))
}

/** The file key of a stanza's body, or null where the key is another one. */
export function openedFileKey(key: Buffer, body: Buffer): Buffer | null {
  const opened = opened20(key, Buffer.alloc(12), body)
  return opened?.length === FILE_KEY_BYTES ? opened : null
}

/** Base64 without padding, in its one canonical form. @throws SopsError INVALID_METADATA */
export function unpadded(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64').replace(/=+$/, '') !== text) throw malformed()
  return bytes
}

function stanzasIn(text: string): AgeStanza[] {
  const stanzas: AgeStanza[] = []
  const lines = text.split('\n').slice(0, -1)
  for (let index = 0; index < lines.length;) {
    const [arrow, ...args] = (lines[index++] ?? '').split(' ')
    if (arrow !== '->' || args.length === 0 || args.includes('')) throw malformed()
    const body: Buffer[] = []
    let last: Buffer
    do {
      if (index >= lines.length) throw malformed()
      last = unpadded(lines[index++] ?? '')
      body.push(last)
    } while (last.length === 48)
    if (last.length > 48) throw malformed()
    stanzas.push({ args, body: Buffer.concat(body) })
  }
  return stanzas
}

function contentOf({ header, mac, payload }: AgeFile, fileKey: Buffer): Buffer {
  const macKey = derived(fileKey, Buffer.alloc(0), 'header')
  const wanted = createHmac('sha256', macKey).update(header).digest()
  const key = derived(fileKey, payload.subarray(0, NONCE_BYTES), 'payload')
  // One chunk, the first and last: what is wrapped is a key.
  const nonce = Buffer.from('000000000000000000000001', 'hex')
  const sealed = payload.subarray(NONCE_BYTES)
  const isSmall = sealed.length >= TAG_BYTES && sealed.length <= CHUNK_BYTES
  const content = timingSafeEqual(wanted, mac) && isSmall ? opened20(key, nonce, sealed) : null
  if (content === null) {
    throw new SopsError('TAMPERED', 'a wrapped data key of age does not verify')
  }
  return content
}

function opened20(key: Buffer, nonce: Buffer, sealed: Buffer): Buffer | null {
  const decipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES))
  try {
    return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()])
  } catch {
    // Node tells a wrong tag only by throwing.
    return null
  }
}

function unarmoured(text: string): Buffer {
  const match =
    /^\s*-----BEGIN AGE ENCRYPTED FILE-----\r?\n([\s\S]*?)\r?\n-----END AGE ENCRYPTED FILE-----\s*$/.exec(
      text,
    )
  const base64 = match?.[1]?.replaceAll(/\r?\n/g, '')
  const bytes = Buffer.from(base64 ?? '', 'base64')
  if (base64 === undefined || bytes.toString('base64') !== base64) {
    throw new SopsError('INVALID_METADATA', 'sops.age.enc is no armoured age file')
  }
  return bytes
}

function malformed(): SopsError {
  return new SopsError('INVALID_METADATA', 'sops.age.enc is no age file')
}
