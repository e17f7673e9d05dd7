import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto'
import { SopsError } from './sops-error.ts'
import type { Scalar, ScalarType } from './scalar.ts'

const FORM =
  /^ENC\[AES256_GCM,data:([A-Za-z0-9+/]*={0,2}),iv:([A-Za-z0-9+/]+={0,2}),tag:([A-Za-z0-9+/]+={0,2}),type:([a-z]+)\]$/
const TYPES: Readonly<Record<string, ScalarType>> = {
  str: 'str',
  int: 'int',
  float: 'float',
  bool: 'bool',
  time: 'time',
  bytes: 'bytes',
  comment: 'comment',
}
const PLAIN: Readonly<Record<string, RegExp>> = {
  int: /^[+-]?\d+$/,
  float: /^([+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|NaN|[+-]?Inf)$/,
  bool: /^(1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$/,
}

/** Bytes of an initialisation vector: sops uses 32, not GCM's usual 12 (aes/cipher.go nonceSize). */
export const IV_BYTES = 32

/** True where text looks like a value that sops encrypted, well-formed or not. */
export function looksEncrypted(text: string): boolean {
  return text.startsWith('ENC[AES256_GCM,')
}

/**
 * Encrypts a scalar in the form of sops: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`; an empty string stays empty. @param key a KeyObject: making one of bytes
 * takes longer than to encrypt a value
 */
export function encryptValue(value: Scalar, key: KeyObject, path: string, iv: Buffer): string {
  if (value.bytes.length === 0) return ''
  const cipher = createCipheriv('aes-256-gcm', key, iv)
  cipher.setAAD(Buffer.from(path, 'utf8'))
  const data = Buffer.concat([cipher.update(value.bytes), cipher.final()]).toString('base64')
  const tag = cipher.getAuthTag().toString('base64')
  return `ENC[AES256_GCM,data:${data},iv:${iv.toString('base64')},tag:${tag},type:${value.type}]`
}

/**
 * Opens a value; `''` is the empty string. @param path the additional data: every key on the way, each followed by `:`
 * @throws SopsError TAMPERED where it is not such a value or does not verify
 */
export function decryptValue(
  text: string,
  key: KeyObject,
  path: string,
): { readonly value: Scalar; readonly iv: Buffer } {
  if (text === '') return { value: { type: 'str', bytes: Buffer.alloc(0) }, iv: Buffer.alloc(0) }
  const match = FORM.exec(text)
  const type = TYPES[match?.[4] ?? '']
  if (match === null || type === undefined) {
    throw new SopsError('TAMPERED', `the value at ${shown(path)} is not encrypted, or not whole`)
  }
  const [data, iv, tag] = [match[1], match[2], match[3]].map((part = '') =>
    Buffer.from(part, 'base64'),
  )
  const bytes = data && iv && tag && open({ data, iv, tag, key, path })
  if (!bytes || PLAIN[type]?.test(bytes.toString('latin1')) === false) {
    throw new SopsError('TAMPERED', `the value at ${shown(path)} does not verify`)
  }
  return { value: canonical({ type, bytes }), iv }
}

interface Sealed {
  readonly data: Buffer
  readonly iv: Buffer
  readonly tag: Buffer
  readonly key: KeyObject
  readonly path: string
}

function open({ data, iv, tag, key, path }: Sealed): Buffer | null {
  if (tag.length !== 16 || iv.length === 0) return null
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 })
  decipher.setAAD(Buffer.from(path, 'utf8'))
  decipher.setAuthTag(tag)
  try {
    const clear = decipher.update(data)
    // GCM holds nothing back: what is left is the tag's verification.
    decipher.final()
    return clear
  } catch {
    // Node tells a wrong tag only by throwing.
    return null
  }
}

/** Go reads `1`, `t`, `TRUE` as true, and its MAC covers what it would write: `True`. */
function canonical(value: Scalar): Scalar {
  if (value.type !== 'bool') return value
  const isTrue = /^[1tT]/.test(value.bytes.toString('latin1'))
  return { type: 'bool', bytes: Buffer.from(isTrue ? 'True' : 'False') }
}

function shown(path: string): string {
  return path === ':' ? 'the top' : JSON.stringify(path.replace(/:$/, ''))
}
