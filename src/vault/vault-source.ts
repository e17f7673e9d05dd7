import { Changes } from '../lib/changes.ts'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type {
  Secret,
  EnvironmentValues,
  TransitKey,
  TransitKeys,
  ValueSource,
  ValueState,
  VaultReference,
} from '../model/secrets.ts'
import { HeldSecret, type KeptLease } from './held-secret.ts'
import { keptLease, keptText } from './kept-lease.ts'
import { allowsPath, type PathRule } from './path-rules.ts'
import { endOf } from './renewal.ts'
import { VaultClient, type VaultFetch } from './vault-client.ts'
import { VaultLogin, type VaultAuth } from './vault-login.ts'
import { VaultReader } from './vault-reader.ts'

export interface VaultSourceOptions {
  readonly address: string
  readonly namespace: string | null
  readonly auth: VaultAuth
  /** Which environment may take what; nothing else is ever asked for. */
  readonly rules: readonly PathRule[]
  /** How often a value without a lease is looked at. */
  readonly refreshMs: number
  /** Where leases are kept for the next server. */
  readonly values: EnvironmentValues
  readonly fetch: VaultFetch
  readonly readFile: (path: string) => Promise<string>
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
}

const PREFIX = 'vault:'

/** Values of Vault or OpenBao for environments: read once per path and environment, shared by its instances, kept good while any of them runs. */
export class VaultSource implements ValueSource<VaultReference>, TransitKeys {
  readonly kind = 'vault'
  readonly #options: VaultSourceOptions
  readonly #login: VaultLogin
  readonly #reader: VaultReader
  readonly #held = new Map<string, HeldSecret>()
  readonly #changes = new Changes()
  readonly #closing = new AbortController()
  readonly #work = new Set<Promise<void>>()

  constructor(options: VaultSourceOptions) {
    this.#options = options
    const { address, namespace, fetch, auth, readFile, clock, log, random } = options
    const client = new VaultClient({ address, namespace, fetch })
    const onNew = (): void => {
      for (const held of this.#held.values()) held.poke()
    }
    this.#login = new VaultLogin({ client, auth, readFile, clock, log, random, onNew })
    this.#reader = new VaultReader({ client, login: this.#login, now: () => clock.now() })
  }

  /** Logs in, and looks after what an earlier server held. Vault may be down. */
  async begin(): Promise<void> {
    const { values, log, clock } = this.#options
    this.#background(this.#login.keep(this.#closing.signal))
    for (const { ref, name } of await values.list(PREFIX)) {
      const path = name.slice(PREFIX.length)
      try {
        const kept = keptLease(await values.get(ref, name))
        const isOver = kept === null || endOf(kept.lease) < clock.now()
        if (isOver) await values.remove(ref, name)
        else this.#hold(ref, path, kept)
      } catch (error) {
        log.warn({ app: refKey(ref), path, error: String(error) }, 'a kept lease does not open')
      }
    }
  }

  async open(ref: AppRef, references: readonly VaultReference[]): Promise<readonly Secret[]> {
    for (const { path } of references) this.#check(ref, path)
    const found = new Map<string, ReadonlyMap<string, Secret>>()
    for (const { path } of references)
      if (!found.has(path)) found.set(path, await this.#hold(ref, path).values())
    return references.map(({ path, key }) => {
      const value = found.get(path)?.get(key)
      if (value !== undefined) return value
      throw new FairwayError('SECRETS_INVALID', `${path} in Vault has no value ${key}`)
    })
  }

  async *watch(
    ref: AppRef,
    references: readonly VaultReference[],
    signal: AbortSignal,
  ): AsyncIterable<ValueState> {
    const paths = [...new Set(references.map(({ path }) => path))]
    const until = AbortSignal.any([signal, this.#closing.signal])
    // Instances outlive servers, and the next one may have other rules: what they forbid is not read on behalf of anybody.
    const denied = paths.find((path) => !allowsPath(this.#options.rules, ref, path))
    const held = paths
      .filter((path) => allowsPath(this.#options.rules, ref, path))
      .map((path) => this.#hold(ref, path))
    const leave = held.map((each) => each.hold())
    try {
      while (!until.aborted) {
        const seen = this.#changes.version(refKey(ref))
        const states = held.map(({ state }) => state)
        yield {
          revision: states.reduce((sum, { revision }) => sum + revision, 0),
          trouble:
            denied === undefined
              ? (states.find(({ trouble }) => trouble !== null)?.trouble ?? null)
              : denial(ref, denied),
        }
        await this.#changes.after(refKey(ref), seen, until)
      }
    } finally {
      // A server that ends leaves the leases to the next one.
      if (!this.#closing.signal.aborted) for (const each of leave) each()
    }
  }

  decrypt(key: TransitKey, ciphertext: string): Promise<Secret> {
    return this.#reader.decrypt(key, ciphertext)
  }

  /** Nothing is given back: instances go on with what they have. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the source closes'))
    await Promise.all(this.#work)
  }

  // Private

  /** @throws FairwayError SECRETS_CLOSED; says nothing of what Vault has */
  #check(ref: AppRef, path: string): void {
    if (allowsPath(this.#options.rules, ref, path)) return
    throw new FairwayError('SECRETS_CLOSED', denial(ref, path), {
      hint: 'Whoever runs the server allows paths per app and environment in FAIRWAY_VAULT_PATHS; docs/secrets.md.',
    })
  }

  #hold(ref: AppRef, path: string, kept: KeptLease | null = null): HeldSecret {
    const key = `${refKey(ref)} ${path}`
    const known = this.#held.get(key)
    if (known !== undefined) return known
    const { values, clock, log, random, refreshMs } = this.#options
    const held = new HeldSecret(
      {
        ...{ path, clock, log, random, refreshMs, reader: this.#reader },
        sessionEnd: (number) => this.#login.endOf(number),
        sessionLimit: () => this.#login.limit(),
        keep: async (lease) => {
          const name = `${PREFIX}${path}`
          if (lease === null) await values.remove(ref, name)
          else await values.replace(ref, name, keptText(lease))
        },
        onChange: () => this.#changes.announce(refKey(ref)),
      },
      kept,
    )
    this.#held.set(key, held)
    const tended = held.tend(this.#closing.signal, () => {
      if (this.#held.get(key) === held) this.#held.delete(key)
    })
    this.#background(tended)
    return held
  }

  #background(work: Promise<void>): void {
    const ended = work
      .catch((error: unknown) => {
        this.#options.log.error({ error: String(error) }, 'looking after values of Vault ended')
      })
      .finally(() => this.#work.delete(ended))
    this.#work.add(ended)
  }
}

function denial(ref: AppRef, path: string): string {
  return `${refKey(ref)} may not take values from ${path} in Vault: no rule of this server names it`
}
