import type { Clock } from '../model/clock.ts'
import type { Subject } from '../model/identity.ts'
import type { Store, TokenRecord } from '../model/store.ts'
import { subjectOf } from './identity.ts'
import type { RulesCache } from './rules-cache.ts'

export interface RecallOptions {
  readonly store: Pick<Store, 'listTokens'>
  readonly clock: Clock
  readonly rules: Pick<RulesCache, 'current'>
}

/** How long somebody's tokens are taken to be what they were: part of the time that a revocation takes. */
const FRESH_MS = 3_000

/** Who somebody is now of whom only the name of their credential (`credentialName`) is known; null once it is revoked or has expired. */
export function createRecall({
  store,
  clock,
  rules,
}: RecallOptions): (credential: string) => Promise<Subject | null> {
  let known: { readonly at: number; readonly tokens: Promise<readonly TokenRecord[]> } | null = null
  const tokens = (): Promise<readonly TokenRecord[]> => {
    const at = clock.elapsed()
    if (known === null || at - known.at >= FRESH_MS) {
      const looked = { at, tokens: store.listTokens() }
      known = looked
      looked.tokens.catch(() => {
        if (known === looked) known = null
      })
    }
    return known.tokens
  }
  return async (credential) => {
    if (!credential.startsWith('fwy_')) return null
    const found = (await tokens()).find(({ id }) => `fwy_${id}` === credential)
    if (found === undefined) return null
    if (found.expiresAt !== null && found.expiresAt <= clock.now()) return null
    // Decisions lean on rules that were read not long ago.
    await rules.current()
    return subjectOf(found)
  }
}
