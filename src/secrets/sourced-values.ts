import { Changes } from '../lib/changes.ts'
import { FairwayError } from '../model/errors.ts'
import type { AppRef } from '../model/names.ts'
import type {
  Secret,
  SecretPlan,
  SourcedReference,
  ValueSource,
  ValueState,
} from '../model/secrets.ts'

/** What a plan gets from elsewhere than the encrypted files, by the names that the app file gives it. */
export interface Sourced {
  readonly files: ReadonlyMap<string, Secret>
  /** By variable. */
  readonly env: ReadonlyMap<string, Secret>
}

interface Wish {
  readonly for: keyof Sourced
  readonly name: string
  readonly reference: SourcedReference
}

/** Hands each reference of a plan to the source of its kind. */
export class SourcedValues {
  readonly #sources: ReadonlyMap<string, ValueSource>

  constructor(sources: readonly ValueSource[]) {
    this.#sources = new Map(sources.map((source) => [source.kind, source]))
  }

  /** @throws FairwayError SECRETS_INVALID for a kind that this server has no source of; and as the sources */
  async open(ref: AppRef, plan: SecretPlan): Promise<Sourced> {
    const values = { files: new Map<string, Secret>(), env: new Map<string, Secret>() }
    const all = wishesOf(plan)
    for (const kind of new Set(all.map(({ reference }) => reference.kind))) {
      const wishes = all.filter(({ reference }) => reference.kind === kind)
      const found = await this.#source(kind).open(
        ref,
        wishes.map(({ reference }) => reference),
      )
      for (const [index, wish] of wishes.entries()) {
        const value = found[index]
        if (value !== undefined) values[wish.for].set(wish.name, value)
      }
    }
    return values
  }

  /** How they fare, all together; ends at once for a plan that takes nothing from elsewhere. */
  async *watch(ref: AppRef, plan: SecretPlan, signal: AbortSignal): AsyncIterable<ValueState> {
    const all = wishesOf(plan).map(({ reference }) => reference)
    if (all.length === 0) return
    const changes = new Changes()
    const states = new Map<string, ValueState>()
    for (const kind of new Set(all.map((reference) => reference.kind))) {
      const mine = all.filter((reference) => reference.kind === kind)
      const follow = async (): Promise<void> => {
        for await (const state of this.#source(kind).watch(ref, mine, signal)) {
          states.set(kind, state)
          changes.announce('')
        }
      }
      void follow().catch((error: unknown) => {
        states.set(kind, { revision: 0, trouble: String(error) })
        changes.announce('')
      })
    }
    for (let seen = 0; ;) {
      await changes.after('', seen, signal)
      seen = changes.version('')
      if (signal.aborted) return
      yield together([...states.values()])
    }
  }

  #source(kind: SourcedReference['kind']): ValueSource {
    const source = this.#sources.get(kind)
    if (source !== undefined) return source
    throw new FairwayError('SECRETS_INVALID', `this server has no ${kind} to take values from`, {
      hint: 'Whoever runs the server sets FAIRWAY_VAULT_AUTH and what belongs to it; docs/secrets.md.',
    })
  }
}

function together(states: readonly ValueState[]): ValueState {
  return {
    revision: states.reduce((sum, { revision }) => sum + revision, 0),
    trouble: states.find(({ trouble }) => trouble !== null)?.trouble ?? null,
  }
}

function wishesOf({ env, files = {} }: SecretPlan): readonly Wish[] {
  return [
    ...Object.entries(files).map(([name, reference]): Wish => ({ for: 'files', name, reference })),
    ...Object.entries(env).flatMap(([name, reference]): Wish[] =>
      reference.kind === 'secret' ? [] : [{ for: 'env', name, reference }],
    ),
  ]
}
