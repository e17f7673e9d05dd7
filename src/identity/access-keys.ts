import { exportJWK, generateKeyPair, importJWK, type CryptoKey, type JWK } from 'jose'
import { z } from 'zod'
import { KeyedMutex } from '../lib/mutex.ts'
import type { Clock } from '../model/clock.ts'
import type { Store } from '../model/store.ts'

/** Where the keys are kept; the store holds credentials of clusters anyway. */
export type SettingStore = Pick<Store, 'getSetting' | 'setSetting'>

export interface AccessKeysOptions {
  readonly store: SettingStore
  readonly clock: Clock
  /** How long a key signs; default 30 days. */
  readonly signsMs?: number
  /** How long it is still published after; must be longer than any token lives. Default one hour. */
  readonly knownMs?: number
}

export interface SigningKey {
  readonly kid: string
  readonly key: CryptoKey
}

/** API servers accept RS256 and ES256 of an issuer, and no EdDSA. */
export const ALGORITHM = 'ES256'
const SETTING = 'kube.issuer'
const DAY = 86_400_000
/** Published so long before it signs: whoever caches the key set has it by then. */
const AHEAD_MS = DAY

const stored = z.array(
  z.object({ kid: z.string(), createdAt: z.number(), jwk: z.record(z.string(), z.string()) }),
)
type StoredKey = z.infer<typeof stored>[number]

/** The keys that sign tokens for clusters: made when first needed, replaced in time, public halves for everybody. */
export class AccessKeys {
  readonly #store: SettingStore
  readonly #clock: Clock
  readonly #signsMs: number
  readonly #knownMs: number
  readonly #mutex = new KeyedMutex()
  readonly #imported = new Map<string, CryptoKey>()

  constructor({ store, clock, signsMs = 30 * DAY, knownMs = 3_600_000 }: AccessKeysOptions) {
    this.#store = store
    this.#clock = clock
    this.#signsMs = signsMs
    this.#knownMs = knownMs
  }

  /** The key that signs now: the oldest that is not to be replaced yet. */
  async signing(): Promise<SigningKey> {
    const now = this.#clock.now()
    const found = (await this.#current()).find(({ createdAt }) => this.#signs(createdAt, now))
    if (found === undefined) throw new TypeError('no key signs')
    return { kid: found.kid, key: await this.#private(found) }
  }

  /** Public halves of all keys whose signatures count, also of the one that will sign next: RFC 7517. */
  async published(): Promise<{ readonly keys: readonly JWK[] }> {
    return {
      keys: (await this.#current()).map(({ kid, jwk: { kty, crv, x, y } }) => ({
        ...Object.fromEntries(
          Object.entries({ crv, x, y }).filter(([, part]) => part !== undefined),
        ),
        kty: kty ?? 'EC',
        kid,
        alg: ALGORITHM,
        use: 'sig',
      })),
    }
  }

  /** A new key alone: nothing that another one signed counts any more, for whoever asks which keys there are. */
  async replace(): Promise<void> {
    await this.#mutex.run(SETTING, async () => {
      const key = await newKey(this.#clock.now())
      await this.#store.setSetting(SETTING, JSON.stringify([key]))
      this.#imported.clear()
    })
  }

  #signs(createdAt: number, now: number): boolean {
    return now < createdAt + this.#signsMs
  }

  /** What is stored, after making and dropping what time has come for; oldest first. */
  #current(): Promise<readonly StoredKey[]> {
    return this.#mutex.run(SETTING, async () => {
      const now = this.#clock.now()
      const text = await this.#store.getSetting(SETTING)
      const all = text === null ? [] : stored.parse(JSON.parse(text))
      const known = all.filter(({ createdAt }) => now < createdAt + this.#signsMs + this.#knownMs)
      const newest = known.at(-1)
      const ahead = Math.min(AHEAD_MS, this.#signsMs / 2)
      const isDue = newest === undefined || !this.#signs(newest.createdAt, now + ahead)
      const kept = isDue ? [...known, await newKey(now)] : known
      if (isDue || kept.length !== all.length)
        await this.#store.setSetting(SETTING, JSON.stringify(kept))
      return kept
    })
  }

  async #private({ kid, jwk }: StoredKey): Promise<CryptoKey> {
    const known = this.#imported.get(kid)
    if (known !== undefined) return known
    const key = await importJWK({ ...jwk, kty: jwk['kty'] ?? 'EC' }, ALGORITHM)
    if (key instanceof Uint8Array) throw new TypeError('a signing key must be a key pair')
    this.#imported.set(kid, key)
    return key
  }
}

async function newKey(now: number): Promise<StoredKey> {
  const { privateKey } = await generateKeyPair(ALGORITHM, { extractable: true })
  const jwk = await exportJWK(privateKey)
  // A name that says nothing: random, as the key is.
  return stored.element.parse({ kid: (jwk.x ?? '').slice(0, 16), createdAt: now, jwk })
}
