import { createHash, hkdfSync } from 'node:crypto'
import { openBytes, sealBytes } from '../lib/sealed-bytes.ts'
import { FairwayError } from '../model/errors.ts'
import { refKey, type AppRef } from '../model/names.ts'
import { Secret, type EnvironmentKeys } from '../model/secrets.ts'
import type { EnvironmentKeyRecord, Store } from '../model/store.ts'
import { newAgeIdentity } from '../sops/keys/age.ts'

export interface StoredKeysOptions {
  readonly store: Pick<
    Store,
    'getEnvironmentKey' | 'addEnvironmentKey' | 'getSetting' | 'setSetting'
  >
  /** What private halves are encrypted under: 32 bytes or more that all servers of the store have, and the store has not. */
  readonly serverKey: () => Promise<Secret>
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly random: (bytes: number) => Buffer
}

/** Names the server key that the store's private halves are encrypted under; no one can be made under another. */
const KEY_ID = 'secrets.server-key-id'

/** One age key per environment in the store, the private half as AES-256-GCM under the server key: `v1.<key id>.<iv, ciphertext, tag in base64url>`. */
export class StoredEnvironmentKeys implements EnvironmentKeys {
  readonly #options: StoredKeysOptions

  constructor(options: StoredKeysOptions) {
    this.#options = options
  }

  async recipient(ref: AppRef): Promise<string> {
    const { store, now, random } = this.#options
    const known = await store.getEnvironmentKey(ref)
    if (known !== null) {
      // Whoever is told a recipient will encrypt for it: say now where nobody could open that.
      await this.#open(known)
      return known.recipient
    }
    const key = await this.#serverKey()
    const { identity, recipient } = await newAgeIdentity()
    const seal = { key: key.wrapping, bound: bound(ref, recipient) }
    const text = sealBytes(Buffer.from(identity), seal, random)
    const wrapped = `v1.${key.id}.${text}`
    return (await store.addEnvironmentKey({ ref, recipient, wrapped, createdAt: now() })).recipient
  }

  async identity(ref: AppRef): Promise<Secret | null> {
    const record = await this.#options.store.getEnvironmentKey(ref)
    return record === null ? null : this.#open(record)
  }

  async #open({ ref, recipient, wrapped }: EnvironmentKeyRecord): Promise<Secret> {
    const key = await this.#serverKey()
    const head = `v1.${key.id}.`
    if (!wrapped.startsWith(head)) throw anotherKey()
    const clear = openBytes(wrapped.slice(head.length), {
      key: key.wrapping,
      bound: bound(ref, recipient),
    })
    if (clear !== null) return Secret.of(clear)
    throw changedInDatabase(`the key of ${refKey(ref)}`)
  }

  async #serverKey(): Promise<{ readonly id: string; readonly wrapping: Buffer }> {
    const { store, serverKey } = this.#options
    const bytes = (await serverKey()).reveal()
    const derive = (use: string): Buffer =>
      Buffer.from(hkdfSync('sha256', bytes, '', `fairway environment keys: ${use}`, 32))
    const id = createHash('sha256').update(derive('name')).digest('hex').slice(0, 16)
    const known = await store.getSetting(KEY_ID)
    if (known !== null && known !== id) throw anotherKey()
    if (known === null) await store.setSetting(KEY_ID, id)
    return { id, wrapping: derive('wrapping') }
  }
}

/** A row that was moved to another environment, or whose public half was exchanged, does not open. */
function bound({ app, environment }: AppRef, recipient: string): Buffer {
  return Buffer.from(['fairway environment key', app, environment, recipient].join('\0'))
}

function anotherKey(): FairwayError {
  return new FairwayError(
    'SECRETS_CLOSED',
    'the keys of environments are encrypted under another server key than the one that this server has',
    {
      hint: 'Restore secrets.key of the data folder, or give all servers the same FAIRWAY_SECRETS_KEY_FILE; docs/secrets.md says what to do where it is lost.',
    },
  )
}

/** What does not open and was sealed by us. */
export function changedInDatabase(what: string): FairwayError {
  return new FairwayError(
    'SECRETS_TAMPERED',
    `${what} in the database was changed: it does not open`,
    { hint: 'Restore it from a backup of the database.' },
  )
}
