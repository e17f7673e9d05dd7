import { armor, Decrypter, Encrypter } from 'age-encryption'
import { SopsError } from './sops-error.ts'

const NATIVE_RECIPIENT = /^age1(pq1)?[02-9ac-hj-np-z]+$/
const NATIVE_IDENTITY = /^AGE-SECRET-KEY-(PQ-)?1[02-9AC-HJ-NP-Z]+$/

/** Opens what was wrapped for age recipients. */
export interface AgeIdentities {
  /** The wrapped bytes, or null where no identity fits. @throws SopsError INVALID_METADATA for a damaged age file */
  unwrap(enc: string): Promise<Buffer | null>
}

/** Wraps bytes for one recipient as an armoured age file. @throws SopsError UNSUPPORTED for a plugin's or ssh recipient, INVALID_KEY for a malformed one */
export async function wrapForAge(recipient: string, bytes: Buffer): Promise<string> {
  checkAgeRecipient(recipient)
  const encrypter = new Encrypter()
  try {
    encrypter.addRecipient(recipient)
  } catch (cause) {
    throw new SopsError('INVALID_KEY', `${recipient} is no age recipient`, cause)
  }
  return armor.encode(await encrypter.encrypt(bytes))
}

/** @throws SopsError UNSUPPORTED for a plugin's or ssh recipient, INVALID_KEY for what is none */
export function checkAgeRecipient(recipient: string): void {
  if (recipient.startsWith('ssh-')) {
    throw new SopsError(
      'UNSUPPORTED',
      `ssh keys as age recipients are not supported: ${recipient.slice(0, 40)}`,
    )
  }
  if (!NATIVE_RECIPIENT.test(recipient)) {
    throw new SopsError(
      'INVALID_KEY',
      `${JSON.stringify(recipient.slice(0, 80))} is no age recipient (age1…)`,
    )
  }
  // Bech32's separator is the last 1: a plugin's name stands before it.
  if (recipient.lastIndexOf('1') !== (recipient.startsWith('age1pq1') ? 6 : 3)) {
    throw new SopsError('UNSUPPORTED', `age plugins are not supported: ${recipient.slice(0, 40)}`)
  }
}

/**
 * Identities from the text of a key file: one per line, `#` starts a comment. @throws SopsError UNSUPPORTED for a plugin's identity, INVALID_KEY for
 * another line; neither shows the line
 */
export function ageIdentities(text: string): AgeIdentities {
  const decrypter = new Decrypter()
  let count = 0
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const words = line.trim()
    if (words === '' || words.startsWith('#')) continue
    for (const word of words.split(/\s+/)) {
      addIdentity(decrypter, word, index + 1)
      count += 1
    }
  }
  return { unwrap: async (enc) => (count === 0 ? null : unwrap(decrypter, enc)) }
}

function addIdentity(decrypter: Decrypter, word: string, line: number): void {
  if (word.startsWith('AGE-PLUGIN-')) {
    throw new SopsError(
      'UNSUPPORTED',
      `line ${line} of the age keys: plugin identities are not supported`,
    )
  }
  try {
    if (!NATIVE_IDENTITY.test(word)) throw new Error('not of the form AGE-SECRET-KEY-1…')
    decrypter.addIdentity(word)
  } catch (cause) {
    throw new SopsError('INVALID_KEY', `line ${line} of the age keys is no age identity`, cause)
  }
}

async function unwrap(decrypter: Decrypter, enc: string): Promise<Buffer | null> {
  let file: Uint8Array
  try {
    file = armor.decode(enc)
  } catch (cause) {
    throw new SopsError('INVALID_METADATA', 'sops.age.enc is no armoured age file', cause)
  }
  try {
    return Buffer.from(await decrypter.decrypt(file))
  } catch (cause) {
    // The library tells "not for these identities" by its message alone.
    if (cause instanceof Error && cause.message.includes('no identity matched')) return null
    throw new SopsError('TAMPERED', 'a wrapped data key of age does not verify', cause)
  }
}
