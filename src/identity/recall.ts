import type { Clock } from '../model/clock.ts'
import type { Subject } from '../model/identity.ts'
import type { SessionRecall } from '../model/login.ts'
import type { Store, TokenRecord } from '../model/store.ts'
import { subjectOf } from './identity.ts'
import type { RulesCache } from './rules-cache.ts'

export interface RecallOptions {
  readonly store: Pick<Store, 'listTokens'>
  readonly sessions: SessionRecall
  readonly clock: Clock
  readonly rules: Pick<RulesCache, 'current'>
}

/** How long somebody's credentials are taken to be what they were: part of the time that a revocation takes. */
const FRESH_MS = 3_000
/** Sessions, and names of tokens that were not found, that are remembered at once. */
const MAX_CREDENTIALS = 1000

/** Who somebody is now of whom only the name of their credential (`credentialName`) is known; null once it is revoked, ended or expired. */
export function createRecall({
  store,
  sessions,
  clock,
  rules,
}: RecallOptions): (credential: string) => Promise<Subject | null> {
  const tokens = remembering(clock, 1, () => store.listTokens())
  // Who is not among them may have come since; asked at most once per credential and time, as what was revoked is not there either.
  const later = remembering(clock, MAX_CREDENTIALS, () => store.listTokens())
  const session = remembering(clock, MAX_CREDENTIALS, (id) => sessions.recall(id))
  return async (credential) => {
    if (credential.startsWith('fws_')) {
      const found = await session(credential.slice('fws_'.length))
      if (found !== null) await rules.current()
      return found
    }
    if (!credential.startsWith('fwy_')) return null
    const found =
      findToken(await tokens(''), credential) ?? findToken(await later(credential), credential)
    if (found === undefined) return null
    if (found.expiresAt !== null && found.expiresAt <= clock.now()) return null
    // Decisions lean on rules that were read not long ago.
    await rules.current()
    return subjectOf(found)
  }
}

function findToken(tokens: readonly TokenRecord[], credential: string): TokenRecord | undefined {
  return tokens.find(({ id }) => `fwy_${id}` === credential)
}

/** What `load` said of a key less than FRESH_MS ago; a failure is not remembered. */
function remembering<T>(
  clock: Clock,
  max: number,
  load: (key: string) => Promise<T>,
): (key: string) => Promise<T> {
  const known = new Map<string, { readonly at: number; readonly value: Promise<T> }>()
  return (key) => {
    const at = clock.elapsed()
    const before = known.get(key)
    if (before !== undefined && at - before.at < FRESH_MS) return before.value
    const looked = { at, value: load(key) }
    if (!known.has(key) && known.size >= max) known.clear()
    known.set(key, looked)
    looked.value.catch(() => {
      if (known.get(key) === looked) known.delete(key)
    })
    return looked.value
  }
}
