import { SopsError } from '../sops-error.ts'
import type { AgeIdentity, AgeStanza } from './age-file.ts'
import { isStanzaFor, sshIdentity } from './age-ssh.ts'
import { readSshKey } from './ssh-key-file.ts'
import { sshPublicKey, type LockedSshKey, type SshPublicKey } from './ssh-key.ts'

/** A private key of ssh, a whole file. */
export interface SshKeyFile {
  /** What its owner calls it: `~/.ssh/id_ed25519`. */
  readonly name: string
  readonly text: string
  /** What the `.pub` file beside it says, null where there is none. Read only for encrypted PEM, which does not say whose private half it is. */
  readonly publicLine: () => Promise<string | null>
}

/** Asks for the passphrase of the key of this name. Null where there is nobody to ask; an empty one ends the asking for that key. */
export type AskPassphrase = (keyName: string) => Promise<Passphrase | null>
export interface Passphrase {
  revealText(): string
}

export interface SshSources {
  /** Asked for ssh recipients alone. */
  readonly sshKeys: (recipient: string) => Promise<readonly SshKeyFile[]>
  readonly passphrase: AskPassphrase
}

const TRIES = 3

/** This user's ssh keys as identities of age. Each is asked for its passphrase once, however many stanzas are for it. */
export class SshIdentities {
  readonly #sources: SshSources
  readonly #files = new Map<string, Promise<readonly SshKeyFile[]>>()
  /** By what is in the file: the same key may come from two places. */
  readonly #keys = new Map<string, OwnKey>()

  constructor(sources: SshSources) {
    this.#sources = sources
  }

  /** The keys without passphrase, as one identity. @throws SopsError where their source fails; its `unwrap` throws, where no key fits, why one could not be read */
  async open(recipient: string): Promise<AgeIdentity> {
    return firstOf((await this.#of(recipient)).filter(({ isLocked }) => !isLocked))
  }

  /**
   * The keys with one, which `unwrap` asks for where a stanza is for that key.
   * @throws SopsError as `open`; its `unwrap` throws KEY_FAILED where the passphrase was not given
   */
  async locked(recipient: string): Promise<AgeIdentity> {
    return firstOf((await this.#of(recipient)).filter(({ isLocked }) => isLocked))
  }

  async #of(recipient: string): Promise<readonly OwnKey[]> {
    const known = this.#files.get(recipient) ?? this.#sources.sshKeys(recipient)
    this.#files.set(recipient, known)
    const keys = new Set<OwnKey>()
    for (const file of await known) {
      const key = this.#keys.get(file.text) ?? ownKey(file, this.#sources.passphrase)
      this.#keys.set(file.text, key)
      keys.add(key)
    }
    return [...keys]
  }
}

interface OwnKey {
  readonly isLocked: boolean
  readonly identity: AgeIdentity
}

function ownKey(file: SshKeyFile, ask: AskPassphrase): OwnKey {
  try {
    const key = readSshKey(file.text)
    if (!('unlock' in key)) return { isLocked: false, identity: sshIdentity(key) }
    return { isLocked: true, identity: lockedIdentity(file, key, ask) }
  } catch (error) {
    const refusal = naming(file, error)
    const unwrap = (): never => {
      throw refusal
    }
    return { isLocked: false, identity: { unwrap } }
  }
}

function lockedIdentity(file: SshKeyFile, key: LockedSshKey, ask: AskPassphrase): AgeIdentity {
  let unlocked: Promise<AgeIdentity> | null = null
  return {
    unwrap: async (stanzas) => {
      const publicKey = key.publicKey ?? (await publicKeyBeside(file))
      if (!stanzas.some((stanza) => mayBeFor(publicKey, stanza))) return null
      unlocked ??= unlockedIdentity(file, key, ask)
      return (await unlocked).unwrap(stanzas)
    },
  }
}

/** Only an RSA key does not say whose it is. */
function mayBeFor(publicKey: SshPublicKey | null, stanza: AgeStanza): boolean {
  return publicKey === null ? stanza.args[0] === 'ssh-rsa' : isStanzaFor(publicKey, stanza)
}

async function publicKeyBeside({ publicLine }: SshKeyFile): Promise<SshPublicKey | null> {
  const line = await publicLine()
  try {
    return line === null ? null : sshPublicKey(line)
  } catch (error) {
    // It only spares a question.
    if (error instanceof SopsError) return null
    throw error
  }
}

async function unlockedIdentity(
  file: SshKeyFile,
  key: LockedSshKey,
  ask: AskPassphrase,
): Promise<AgeIdentity> {
  for (let tries = 0; tries < TRIES; tries++) {
    const passphrase = await ask(file.name)
    if (passphrase === null) throw nobodyToAsk(file)
    const text = passphrase.revealText()
    if (text === '') {
      throw new SopsError('KEY_FAILED', `the passphrase of ${file.name} was not given`)
    }
    try {
      const unlocked = await key.unlock(text)
      if (unlocked !== null) return sshIdentity(unlocked)
    } catch (error) {
      throw naming(file, error)
    }
  }
  throw new SopsError('KEY_FAILED', `wrong passphrase of ${file.name}, ${TRIES} times`)
}

/** One identity of several. What is wrong with one of them only matters where no other opens the file. */
function firstOf(keys: readonly OwnKey[]): AgeIdentity {
  return {
    unwrap: async (stanzas) => {
      let refusal: SopsError | null = null
      for (const { identity } of keys) {
        try {
          const fileKey = await identity.unwrap(stanzas)
          if (fileKey !== null) return fileKey
        } catch (error) {
          if (!(error instanceof SopsError)) throw error
          refusal ??= error
        }
      }
      if (refusal !== null) throw refusal
      return null
    },
  }
}

function naming({ name }: SshKeyFile, error: unknown): SopsError {
  if (!(error instanceof SopsError)) throw error
  return new SopsError(error.code, `${name}: ${error.message}`, error)
}

function nobodyToAsk({ name }: SshKeyFile): SopsError {
  return new SopsError(
    'KEY_FAILED',
    `${name} has a passphrase, and there is no terminal to ask for it; SOPS_AGE_SSH_PRIVATE_KEY_CMD can give an open copy, and an age key does without`,
  )
}
