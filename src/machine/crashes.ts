import { backoffMs } from '../lib/backoff.ts'

/** A copy that ran this long was fine: what ends it later starts the count anew. */
const PROVEN_MS = 60_000
export const CRASHES_UNTIL_FAILING = 3

interface CrashRecord {
  readonly count: number
  readonly total: number
  readonly lastMs: number
  readonly text: string
  /** Trying again as it is will not help: it missed its deadline or could not be started at all. */
  readonly hopeless: boolean
}

/** Failed starts and crashes per `process@release`, and what follows from them: when the next copy may start, and when it is hopeless. */
export class CrashHistory {
  readonly #records = new Map<string, CrashRecord>()

  add(
    key: string,
    crash: {
      /** `Clock.elapsed` at its end. */
      readonly elapsedMs: number
      readonly ranForMs: number
      readonly text: string
      readonly hopeless: boolean
    },
  ): void {
    const before = this.#records.get(key)
    const count = crash.ranForMs >= PROVEN_MS ? 1 : (before?.count ?? 0) + 1
    const { elapsedMs: lastMs, text, hopeless } = crash
    this.#records.set(key, { count, total: (before?.total ?? 0) + 1, lastMs, text, hopeless })
  }

  /** A copy became ready after all. */
  recover(key: string): void {
    const before = this.#records.get(key)
    if (before !== undefined) this.#records.set(key, { ...before, hopeless: false })
  }

  /** Earliest next start per key, in the time of `Clock.elapsed`; the first crash is repaired at once. */
  notBefore(): ReadonlyMap<string, number> {
    return new Map(
      [...this.#records]
        .filter(([, record]) => record.count > 0)
        .map(([key, record]) => [key, record.lastMs + backoffMs(record.count - 1)]),
    )
  }

  isFailing(key: string): boolean {
    const record = this.#records.get(key)
    return record !== undefined && (record.hopeless || record.count >= CRASHES_UNTIL_FAILING)
  }

  /** Copies of this key that were started because an earlier one ended. */
  restarts(key: string): number {
    return this.#records.get(key)?.total ?? 0
  }

  lastText(key: string): string | null {
    return this.#records.get(key)?.text ?? null
  }

  /** Forgets all but these keys, so that a retried release begins with a clean record. */
  keepOnly(keys: ReadonlySet<string>): void {
    for (const key of this.#records.keys()) if (!keys.has(key)) this.#records.delete(key)
  }
}
