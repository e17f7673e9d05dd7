import { readLink } from '../lib/hash-chain.ts'
import type { AuditEvent, AuditHead, AuditRow, AuditStore } from '../model/audit.ts'
import { FairwayError } from '../model/errors.ts'
import { recordAfter, type Place } from './audit-record.ts'

/** Records of one transaction, and those that may wait for theirs. */
const BATCH = 500
const MOST_WAITING = 10_000

/** An event, or one that tells of the place where it will stand. */
export type Entry = AuditEvent | ((before: Place) => AuditEvent)

interface Waiting {
  readonly entry: Entry
  readonly time: number
  readonly kept: () => void
  readonly failed: (error: unknown) => void
}

/** Tells how many events could not be written before; no events where there are none. */
export interface Ahead {
  readonly events: readonly AuditEvent[]
  readonly count: number
}

export interface ChainWriterOptions {
  readonly store: AuditStore
  /** Makes what goes in front of a batch. */
  readonly ahead: () => Ahead
  /** It is on the disk. */
  readonly aheadKept: (count: number) => void
  /** The last record that this server wrote is not the one that stands there now. */
  readonly broken: (at: Place) => void
}

/** The one writer of a server: while a transaction is on its way, what comes gathers for the next, so that many share one write to the disk. */
export class ChainWriter {
  readonly #options: ChainWriterOptions
  #waiting: Waiting[] = []
  #pumping: Promise<void> | null = null
  #last: Place | null = null
  #written = 0

  constructor(options: ChainWriterOptions) {
    this.#options = options
  }

  /** Records that this server wrote. */
  get written(): number {
    return this.#written
  }

  /** @throws FairwayError LIMIT_EXCEEDED where too many wait, else what the store throws */
  append(entry: Entry, time: number): Promise<void> {
    if (this.#waiting.length >= MOST_WAITING)
      return Promise.reject(new FairwayError('LIMIT_EXCEEDED', 'too many records wait to be kept'))
    return new Promise((kept, failed) => {
      this.#waiting.push({ entry, time, kept, failed })
      this.#pumping ??= this.#pump()
    })
  }

  /** Resolves when nothing waits. */
  async idle(): Promise<void> {
    while (this.#pumping !== null) await this.#pumping
  }

  async #pump(): Promise<void> {
    // What is recorded in the same turn of the event loop shares the first transaction.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, BATCH)
      try {
        await this.#write(batch)
        for (const { kept } of batch) kept()
      } catch (error) {
        for (const { failed } of batch) failed(error)
      }
    }
    this.#pumping = null
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    const { events, count } = this.#options.ahead()
    const time = batch[0]?.time ?? 0
    const entries = [...events.map((entry) => ({ entry, time })), ...batch]
    const found: AuditHead[] = []
    const head = await this.#options.store.append((before) => {
      found.push(before)
      return rowsAfter(before, entries)
    })
    this.#options.aheadKept(count)
    this.#written += entries.length
    const last = this.#last
    this.#last = head
    const before = found.at(-1)
    if (last !== null && before !== undefined) await this.#compare(last, before)
  }

  /** Other servers may have written meanwhile; nobody may have changed what this one wrote. */
  async #compare(last: Place, found: AuditHead): Promise<void> {
    if (found.seq === last.seq && found.hash === last.hash) return
    if (found.seq > last.seq && last.seq < found.first.seq) return
    const [row] = found.seq < last.seq ? [] : await this.#options.store.after(last.seq - 1, 1)
    const same = row?.seq === last.seq && readLink(row.line)?.hash === last.hash
    if (!same) this.#options.broken(last)
  }
}

function rowsAfter(
  head: AuditHead,
  entries: readonly Pick<Waiting, 'entry' | 'time'>[],
): readonly AuditRow[] {
  let place: Place = head
  return entries.map(({ entry, time }) => {
    const event = typeof entry === 'function' ? entry(place) : entry
    const { row, place: next } = recordAfter(place, event, time)
    place = next
    return row
  })
}
