import { Changes } from '../lib/changes.ts'
import { refKey, type AppRef } from '../model/names.ts'
import {
  Secret,
  type EnvironmentValues,
  type GeneratedReference,
  type GeneratedSecrets,
  type ValueSource,
  type ValueState,
} from '../model/secrets.ts'

const PREFIX = 'generated:'

/** Random values that an environment keeps: made when they are first asked for, the same for every release, until they are rotated. As base64url (RFC 4648, section 5). */
export class GeneratedValues implements ValueSource<GeneratedReference>, GeneratedSecrets {
  readonly kind = 'generated'
  readonly #values: EnvironmentValues
  readonly #random: (bytes: number) => Buffer
  readonly #changes = new Changes()

  constructor(values: EnvironmentValues, random: (bytes: number) => Buffer) {
    this.#values = values
    this.#random = random
  }

  async open(ref: AppRef, references: readonly GeneratedReference[]): Promise<readonly Secret[]> {
    const found: Secret[] = []
    for (const { name, bytes } of references) {
      const kept = await this.#values.get(ref, PREFIX + name)
      found.push(kept ?? (await this.#values.add(ref, PREFIX + name, this.#new(bytes))))
    }
    return found
  }

  async *watch(
    ref: AppRef,
    _references: readonly GeneratedReference[],
    signal: AbortSignal,
  ): AsyncIterable<ValueState> {
    while (!signal.aborted) {
      const revision = this.#changes.version(refKey(ref))
      yield { revision, trouble: null }
      await this.#changes.after(refKey(ref), revision, signal)
    }
  }

  async rotate(ref: AppRef, references: readonly GeneratedReference[]): Promise<void> {
    for (const { name, bytes } of references)
      await this.#values.replace(ref, PREFIX + name, this.#new(bytes))
    this.#changes.announce(refKey(ref))
  }

  #new(bytes: number): Secret {
    return Secret.of(this.#random(bytes).toString('base64url'))
  }
}
