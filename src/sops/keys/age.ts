import type { MetadataObject } from '../document.ts'
import { SopsError } from '../sops-error.ts'
import { openAgeFile, readAgeFile, x25519Identity, type AgeIdentity } from './age-file.ts'
import type { KeyKind } from './key-kind.ts'
import { textField } from './key-names.ts'
import type { SshIdentities, SshSources } from './ssh-identities.ts'

const NATIVE_RECIPIENT = /^age1(pq1)?[02-9ac-hj-np-z]+$/
const NATIVE_IDENTITY = /^AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]+$/
const HYBRID_IDENTITY = /^AGE-SECRET-KEY-PQ-1[02-9AC-HJ-NP-Z]+$/
const HYBRID_STANZA = 'mlkem768x25519'

/** Where age's identities come from; asked only when a file needs them. */
export interface AgeSources extends SshSources {
  /** The text of key files: identities one per line or separated by spaces, `#` starts a comment. */
  readonly identities: (recipient: string) => Promise<string>
}

/** Keys of age: X25519, post-quantum hybrid, ssh-ed25519 and ssh-rsa. Plugins are refused by name. */
export function ageKind({ identities, ...sources }: AgeSources): KeyKind {
  let loaded: Promise<SshIdentities> | null = null
  const ssh = (): Promise<SshIdentities> => (loaded ??= sshIdentities(sources))
  return {
    type: 'age',
    wrap: async (names, bytes) => ({ enc: await wrapForAge(textField(names, 'recipient'), bytes) }),
    unwrap: async (fields) => {
      const recipient = textField(fields, 'recipient')
      const file = readAgeFile(textField(fields, 'enc'))
      if (recipient.startsWith('ssh-')) {
        return openAgeFile(file, [await (await ssh()).open(recipient)])
      }
      refusePlugin(recipient)
      const own = identitiesIn(await identities(recipient))
      const opened = await openAgeFile(file, own.native)
      const isHybrid = file.stanzas.some(({ args }) => args[0] === HYBRID_STANZA)
      return opened ?? (isHybrid ? openHybrid(own.hybrid, fields) : null)
    },
    unwrapAsking: async (fields) => {
      const recipient = textField(fields, 'recipient')
      if (!recipient.startsWith('ssh-')) return null
      const file = readAgeFile(textField(fields, 'enc'))
      return openAgeFile(file, [await (await ssh()).locked(recipient)])
    },
  }
}

/**
 * The kind for identities that are at hand: the text of a key file, one per line, `#` starts a comment. It wraps for any recipient.
 * @throws SopsError UNSUPPORTED for a plugin's identity, INVALID_KEY for another line; neither shows the line
 */
export function ageIdentities(text: string, sshKeys: readonly string[] = []): KeyKind {
  identitiesIn(text)
  return ageKind({
    identities: () => Promise.resolve(text),
    sshKeys: () =>
      Promise.resolve(
        sshKeys.map((text, index) => ({
          ...{ name: `ssh key ${index + 1}`, text },
          publicLine: () => Promise.resolve(null),
        })),
      ),
    passphrase: () => Promise.resolve(null),
  })
}

async function sshIdentities(sources: SshSources): Promise<SshIdentities> {
  const { SshIdentities } = await import('./ssh-identities.ts')
  return new SshIdentities(sources)
}

/** A new X25519 key, in the form of age's own files: the identity is the private half. */
export async function newAgeIdentity(): Promise<{
  readonly identity: string
  readonly recipient: string
}> {
  const { generateX25519Identity, identityToRecipient } = await import('age-encryption')
  const identity = await generateX25519Identity()
  return { identity, recipient: await identityToRecipient(identity) }
}

/** @throws SopsError UNSUPPORTED for a plugin's recipient, INVALID_KEY for what is none */
export async function checkAgeRecipient(recipient: string): Promise<void> {
  if (recipient.startsWith('ssh-')) {
    const { sshPublicKey } = await import('./ssh-key.ts')
    sshPublicKey(recipient)
    return
  }
  refusePlugin(recipient)
  if (!NATIVE_RECIPIENT.test(recipient)) {
    throw new SopsError(
      'INVALID_KEY',
      `${JSON.stringify(recipient.slice(0, 80))} is no age recipient (age1…)`,
    )
  }
}

/** Wraps bytes for one recipient as an armoured age file. @throws SopsError UNSUPPORTED for a plugin's recipient, INVALID_KEY for a malformed one */
async function wrapForAge(recipient: string, bytes: Buffer): Promise<string> {
  await checkAgeRecipient(recipient)
  const { armor, Encrypter, Stanza } = await import('age-encryption')
  const encrypter = new Encrypter()
  if (recipient.startsWith('ssh-')) {
    const { sshStanza } = await import('./age-ssh.ts')
    encrypter.addRecipient({
      wrapFileKey: (fileKey) => {
        const { args, body } = sshStanza(recipient, fileKey)
        return [new Stanza([...args], body)]
      },
    })
  } else {
    try {
      encrypter.addRecipient(recipient)
    } catch (cause) {
      throw new SopsError('INVALID_KEY', `${recipient} is no age recipient`, cause)
    }
  }
  return armor.encode(await encrypter.encrypt(bytes))
}

interface OwnIdentities {
  readonly native: readonly AgeIdentity[]
  readonly hybrid: readonly string[]
}

function identitiesIn(text: string): OwnIdentities {
  const native: AgeIdentity[] = []
  const hybrid: string[] = []
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const words = line.trim()
    if (words === '' || words.startsWith('#')) continue
    for (const word of words.split(/\s+/)) {
      if (HYBRID_IDENTITY.test(word)) hybrid.push(word)
      else native.push(nativeIdentity(word, index + 1))
    }
  }
  return { native, hybrid }
}

function nativeIdentity(word: string, line: number): AgeIdentity {
  if (word.startsWith('AGE-PLUGIN-')) {
    throw new SopsError(
      'UNSUPPORTED',
      `line ${line} of the age keys: identities of plugins are not supported`,
    )
  }
  try {
    if (!NATIVE_IDENTITY.test(word)) throw new Error('not of the form AGE-SECRET-KEY-1…')
    return x25519Identity(word)
  } catch (cause) {
    throw new SopsError('INVALID_KEY', `line ${line} of the age keys is no age identity`, cause)
  }
}

async function openHybrid(
  identities: readonly string[],
  fields: MetadataObject,
): Promise<Buffer | null> {
  if (identities.length === 0) return null
  const { armor, Decrypter } = await import('age-encryption')
  const decrypter = new Decrypter()
  try {
    for (const identity of identities) decrypter.addIdentity(identity)
  } catch (cause) {
    throw new SopsError('INVALID_KEY', 'a post-quantum identity of age is malformed', cause)
  }
  try {
    return Buffer.from(await decrypter.decrypt(armor.decode(textField(fields, 'enc'))))
  } catch (cause) {
    // The library tells "not for these identities" by its message alone.
    if (cause instanceof Error && cause.message.includes('no identity matched')) return null
    throw new SopsError('TAMPERED', 'a wrapped data key of age does not verify', cause)
  }
}

/** Bech32's separator is the last 1: a plugin's name stands before it. */
function refusePlugin(recipient: string): void {
  if (!recipient.startsWith('age1')) return
  if (recipient.lastIndexOf('1') === (recipient.startsWith('age1pq1') ? 6 : 3)) return
  const name = recipient.slice(4, recipient.lastIndexOf('1'))
  throw new SopsError(
    'UNSUPPORTED',
    `age plugins are not supported (${JSON.stringify(name.slice(0, 40))}); add a recipient of another kind`,
  )
}
