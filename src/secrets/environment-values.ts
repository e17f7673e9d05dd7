import { createHmac, hkdfSync } from 'node:crypto'
import { openBytes, sealBytes, type Seal } from '../lib/sealed-bytes.ts'
import { FairwayError } from '../model/errors.ts'
import { refKey, type AppRef } from '../model/names.ts'
import { Secret, type EnvironmentKeys, type EnvironmentValues } from '../model/secrets.ts'
import type { EnvironmentValueRecord, EnvironmentValueStore } from '../model/store.ts'
import { changedInDatabase } from './environment-keys.ts'

/** What follows it is written as src/lib/sealed-bytes.ts does. */
const VERSION = 'v1.'

export interface StoredValuesOptions {
  readonly store: EnvironmentValueStore
  readonly keys: EnvironmentKeys
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly random: (bytes: number) => Buffer
}

/** Values in the store as AES-256-GCM under a key that HKDF (RFC 5869) makes of the environment's own: `v1.<iv, ciphertext, tag in base64url>`. */
export class StoredEnvironmentValues implements EnvironmentValues {
  readonly #options: StoredValuesOptions

  constructor(options: StoredValuesOptions) {
    this.#options = options
  }

  async get(ref: AppRef, name: string): Promise<Secret | null> {
    const record = await this.#options.store.get(ref, name)
    return record === null ? null : this.#open(record)
  }

  async add(ref: AppRef, name: string, value: Secret): Promise<Secret> {
    return this.#open(await this.#options.store.add(await this.#record(ref, name, value)))
  }

  async replace(ref: AppRef, name: string, value: Secret): Promise<void> {
    await this.#options.store.put(await this.#record(ref, name, value))
  }

  remove(ref: AppRef, name: string): Promise<void> {
    return this.#options.store.delete(ref, name)
  }

  async list(prefix: string): Promise<readonly { readonly ref: AppRef; readonly name: string }[]> {
    const all = await this.#options.store.list()
    return all.filter(({ name }) => name.startsWith(prefix))
  }

  async fingerprint(ref: AppRef, text: string): Promise<string> {
    const key = await this.#key(ref, 'fingerprints')
    return createHmac('sha256', key).update(text).digest('hex')
  }

  // Private

  async #record(ref: AppRef, name: string, value: Secret): Promise<EnvironmentValueRecord> {
    const { random, now } = this.#options
    const sealed = sealBytes(value.reveal(), await this.#seal(ref, name), random)
    return { ref, name, sealed: VERSION + sealed, changedAt: now() }
  }

  async #open({ ref, name, sealed }: EnvironmentValueRecord): Promise<Secret> {
    const seal = await this.#seal(ref, name)
    const known = sealed.startsWith(VERSION)
    const clear = known ? openBytes(sealed.slice(VERSION.length), seal) : null
    if (clear !== null) return Secret.of(clear)
    throw changedInDatabase(`a value of ${refKey(ref)}`)
  }

  async #seal(ref: AppRef, name: string): Promise<Seal> {
    return { key: await this.#key(ref, 'values'), bound: bound(ref, name) }
  }

  async #key(ref: AppRef, use: string): Promise<Buffer> {
    const { keys } = this.#options
    let identity = await keys.identity(ref)
    if (identity === null) {
      await keys.recipient(ref)
      identity = await keys.identity(ref)
    }
    const secret = identity?.reveal() ?? null
    if (secret === null)
      throw new FairwayError('SECRETS_CLOSED', `${refKey(ref)} has no key: it was removed`)
    return Buffer.from(hkdfSync('sha256', secret, '', `fairway environment values: ${use}`, 32))
  }
}

/** A row that was moved to another environment or name does not open. */
function bound({ app, environment }: AppRef, name: string): Buffer {
  return Buffer.from(['fairway environment value', app, environment, name].join('\0'))
}
