import type { AppRef } from '../model/names.ts'
import {
  RELOAD_SIGNALS,
  type EnvironmentValues,
  type LiveVersion,
  type Secret,
  type SecretPlan,
} from '../model/secrets.ts'
import type { Sourced } from './sourced-values.ts'

/** Tells values apart that change without a release, by what their change means. Says nothing about them to whoever has not the environment's key. */
export class LiveVersions {
  readonly #values: Pick<EnvironmentValues, 'fingerprint'>

  constructor(values: Pick<EnvironmentValues, 'fingerprint'>) {
    this.#values = values
  }

  /** Undefined where nothing of the plan changes so. @throws FairwayError as `EnvironmentValues.fingerprint` */
  async of(
    ref: AppRef,
    { files = {} }: SecretPlan,
    sourced: Sourced,
  ): Promise<LiveVersion | undefined> {
    if (sourced.env.size + sourced.files.size === 0) return undefined
    const named = (wanted: (name: string) => boolean): readonly Entry[] =>
      [...sourced.files].filter(([name]) => wanted(name))
    const restarting = named((name) => (files[name]?.onChange ?? 'restart') === 'restart')
    const signals = await Promise.all(
      RELOAD_SIGNALS.map(async (signal) => {
        const mine = named((name) => {
          const file = files[name]
          return file?.onChange === 'signal' && (file.signal ?? 'SIGHUP') === signal
        })
        return mine.length === 0 ? [] : [[signal, await this.#print(ref, signal, mine)] as const]
      }),
    )
    return {
      restart: await this.#print(ref, 'restart', [...restarting, ...prefixed(sourced.env)]),
      files: await this.#print(ref, 'files', [...sourced.files]),
      signals: Object.fromEntries(signals.flat()),
    }
  }

  /** All variables, wherever they come from; undefined where there are none. @throws as `of` */
  async ofEnv(ref: AppRef, env: ReadonlyMap<string, Secret>): Promise<string | undefined> {
    return env.size === 0 ? undefined : this.#print(ref, 'env', [...env])
  }

  async #print(ref: AppRef, use: string, entries: readonly Entry[]): Promise<string> {
    if (entries.length === 0) return ''
    const texts = entries.map(([name, value]) => [
      name,
      Buffer.from(value.reveal()).toString('base64'),
    ])
    const sorted = texts.sort(([a = ''], [b = '']) => (a < b ? -1 : 1))
    return this.#values.fingerprint(ref, JSON.stringify([use, sorted]))
  }
}

type Entry = readonly [string, Secret]

/** A file and a variable may have the same name. */
function prefixed(env: ReadonlyMap<string, Secret>): readonly Entry[] {
  return [...env].map(([name, value]) => [`$${name}`, value] as const)
}
