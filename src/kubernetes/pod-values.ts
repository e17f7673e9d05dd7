import { isUtf8 } from 'node:buffer'
import { backoffMs } from '../lib/backoff.ts'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { InstancePayload, InstanceSecrets, Secret, SecretPlan } from '../model/secrets.ts'

/** What is planned from the values of a process of a release. In memory alone. */
export interface OpenedValues {
  /** Variables, each in a Secret because the app file asks for it. */
  readonly env: ReadonlyMap<string, Secret>
  /** Tells these variables from others, to whoever has the environment's key; '' = there are none. */
  readonly envVersion: string
  /** The same of all values that only other pods can get; '' = none of them changes without a release. */
  readonly restart: string
}

/** Plans by `process@release`. */
export type WantedValues = ReadonlyMap<string, SecretPlan>

export interface PodValuesOptions {
  readonly secrets: InstanceSecrets
  /** A value is another one: what is planned from it changes. */
  readonly onChange: (ref: AppRef) => void
  readonly clock: Clock
  readonly log: Log
}

interface Kept {
  readonly ref: AppRef
  readonly key: string
  readonly plan: SecretPlan
  readonly holders: Set<unknown>
  readonly ending: AbortController
  opened: OpenedValues | null
  reading: Promise<unknown>
  trouble: string | null
}

/** The Secret of an object takes a mebibyte with all its keys. */
const MAX_VARIABLES_BYTES = 900_000

/**
 * Values that objects of the cluster follow from: variables, and which files make other pods. Opened once per process and release, watched (and so kept good)
 * while anything holds them, and forgotten then. Files alone are fetched by pods themselves and are not opened here.
 */
export class PodValues {
  readonly #options: PodValuesOptions
  readonly #kept = new Map<string, Kept>()

  constructor(options: PodValuesOptions) {
    this.#options = options
  }

  /** Opens what is not yet, held until `release`. @throws as `InstanceSecrets.open` */
  async open(
    ref: AppRef,
    wanted: WantedValues,
    holder: unknown,
  ): Promise<ReadonlyMap<string, OpenedValues>> {
    const found = new Map<string, OpenedValues>()
    for (const [key, plan] of wanted) {
      if (!isOpenedHere(plan)) continue
      const kept = this.#kept.get(`${refKey(ref)} ${key}`) ?? this.#keep(ref, key, plan)
      kept.holders.add(holder)
      found.set(key, kept.opened ?? (await this.#again(kept)))
    }
    return found
  }

  /** What is open now; null where any of them is not. */
  known(ref: AppRef, wanted: WantedValues): ReadonlyMap<string, OpenedValues> | null {
    const found = new Map<string, OpenedValues>()
    for (const [key, plan] of wanted) {
      if (!isOpenedHere(plan)) continue
      const opened = this.#kept.get(`${refKey(ref)} ${key}`)?.opened ?? null
      if (opened === null) return null
      found.set(key, opened)
    }
    return found
  }

  /** The holder needs nothing of the app any more but what is named. */
  release(ref: AppRef, holder: unknown, but: ReadonlySet<string> = new Set()): void {
    for (const [id, kept] of this.#kept) {
      if (refKey(kept.ref) !== refKey(ref) || but.has(kept.key)) continue
      kept.holders.delete(holder)
      if (kept.holders.size > 0) continue
      this.#kept.delete(id)
      kept.ending.abort(new Error('nobody has these values any more'))
    }
  }

  /** Why values are not looked after now, by `process@release`; null where they are, or need not be. */
  trouble(ref: AppRef, key: string): string | null {
    const trouble = this.#kept.get(`${refKey(ref)} ${key}`)?.trouble ?? null
    return trouble === null ? null : `values not renewed: ${trouble}`
  }

  close(): void {
    for (const { ending } of this.#kept.values()) ending.abort(new Error('the engine closes'))
    this.#kept.clear()
  }

  // Private

  #keep(ref: AppRef, key: string, plan: SecretPlan): Kept {
    const kept: Kept = {
      ...{ ref, key, plan, holders: new Set(), ending: new AbortController() },
      ...{ opened: null, reading: Promise.resolve(), trouble: null },
    }
    this.#kept.set(`${refKey(ref)} ${key}`, kept)
    // Before it is read for the first time: no change falls between the two.
    this.#follow(kept).catch((error: unknown) => {
      const fields = { app: refKey(ref), key, error: String(error) }
      this.#options.log.error(fields, 'values are not watched any more')
    })
    return kept
  }

  async #follow(kept: Kept): Promise<void> {
    const { secrets, log, onChange } = this.#options
    const { ref, key, plan } = kept
    const { signal } = kept.ending
    let seen: number | null = null
    for await (const { revision, trouble } of secrets.watch(ref, plan, signal)) {
      if (signal.aborted) return
      if (trouble !== null && trouble !== kept.trouble)
        log.warn({ app: refKey(ref), key, error: trouble }, 'values are not renewed')
      const isTold = trouble === kept.trouble
      kept.trouble = trouble
      if (seen !== null && seen !== revision && trouble === null) void this.#untilRead(kept)
      else if (!isTold) onChange(ref)
      seen = revision
    }
  }

  async #untilRead(kept: Kept): Promise<void> {
    const { clock, log } = this.#options
    const { signal } = kept.ending
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.#again(kept)
        return
      } catch (error) {
        failures += 1
        const fields = { app: refKey(kept.ref), key: kept.key, error: String(error) }
        if (failures === 1) log.warn(fields, 'values that changed not read')
        await clock.sleep(backoffMs(failures), signal).catch(() => undefined)
      }
    }
  }

  /** One after the other: what was read last is what was there last. */
  #again(kept: Kept): Promise<OpenedValues> {
    const reading = kept.reading.then(() => this.#read(kept))
    kept.reading = reading.catch(() => undefined)
    return reading
  }

  async #read(kept: Kept): Promise<OpenedValues> {
    const opened = openedOf(await this.#options.secrets.open(kept.ref, kept.plan))
    const before = kept.opened
    kept.opened = opened
    const isSame = before?.envVersion === opened.envVersion && before.restart === opened.restart
    if (before !== null && !isSame && !kept.ending.signal.aborted) this.#options.onChange(kept.ref)
    return opened
  }
}

// Private

/** Files of encrypted documents change with a release alone. */
function isOpenedHere({ env, files }: SecretPlan): boolean {
  return Object.keys(env).length > 0 || files !== undefined
}

function openedOf({ env, envVersion = '', version }: InstancePayload): OpenedValues {
  const total = [...env.values()].reduce((sum, { size }) => sum + size, 0)
  if (total > MAX_VARIABLES_BYTES)
    throw new FairwayError(
      'SECRETS_INVALID',
      `the variables from secrets are ${String(total)} bytes together, a cluster takes ${String(MAX_VARIABLES_BYTES)}`,
      { hint: 'Read large values from their files in FAIRWAY_SECRETS instead.' },
    )
  for (const [name, value] of env)
    if (!isUtf8(value.reveal()))
      throw new FairwayError(
        'SECRETS_INVALID',
        `env.${name}: the value is no text in UTF-8, which a cluster asks of variables`,
        { hint: 'Read it from its file in FAIRWAY_SECRETS instead.' },
      )
  return { env, envVersion, restart: version?.restart ?? '' }
}
