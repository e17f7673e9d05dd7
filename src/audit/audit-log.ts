import type { Log } from '../lib/log.ts'
import { readLink } from '../lib/hash-chain.ts'
import {
  SYSTEM,
  type Audit,
  type AuditEvent,
  type AuditQuery,
  type AuditReader,
  type AuditStore,
} from '../model/audit.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import { exportLines, listLines } from './audit-reader.ts'
import { recordAfter, type Place } from './audit-record.ts'
import { ChainWriter, type Ahead } from './chain-writer.ts'
import type { Checkpoint, Signer } from './checkpoint.ts'
import { DenialLimit } from './denial-limit.ts'

/** A signed checkpoint stands in the chain at least after so many records of one server, or so much time in which there were any. */
export const CHECKPOINT_RECORDS = 1000
const CHECKPOINT_MS = 3_600_000
const LOOK_MS = 10_000
const FORGET_EVERY_MS = 3_600_000
const FORGOTTEN_AT_ONCE = 5000

/** Where the last checkpoint is remembered outside of the database. */
export interface CheckpointMemory {
  read(): Promise<Checkpoint | null>
  write(checkpoint: Checkpoint): Promise<void>
}

export interface AuditLogOptions {
  readonly store: AuditStore
  readonly clock: Clock
  readonly log: Log
  readonly signer: Signer
  readonly memory: CheckpointMemory
  /** Older records are forgotten. */
  readonly keptMs: number
}

/** The audit of one server over the chain that all servers of the database share. */
export class AuditLog implements Audit, AuditReader {
  readonly #options: AuditLogOptions
  readonly #writer: ChainWriter
  readonly #denials = new DenialLimit()
  readonly #closing = new AbortController()
  #looking: Promise<void> = Promise.resolve()
  #lost: { count: number; since: number } | null = null
  /** Of the last checkpoint: the place, when it was made, and how many records this server had written. */
  #sworn = { seq: 0, at: 0, written: 0 }
  #forgotAt = 0

  constructor(options: AuditLogOptions) {
    this.#options = options
    this.#writer = new ChainWriter({
      store: options.store,
      ahead: () => this.#lostEvent(),
      aheadKept: (count) => {
        // More may have been lost while that was written.
        if (this.#lost?.count === count) this.#lost = null
        else if (this.#lost !== null) this.#lost.count -= count
      },
      broken: (at) => this.#tellBroken(at),
    })
  }

  /** Looks whether what the last run swore still stands, and says that this server writes from now on. */
  async open(): Promise<void> {
    const { memory, signer, clock } = this.#options
    const remembered = await memory.read()
    if (remembered !== null && !(await this.#stands(remembered))) this.#tellBroken(remembered)
    this.#sworn = { ...this.#sworn, at: clock.now() }
    await this.note({ ...ofSystem('audit:opened'), facts: { key: signer.key } })
    this.#looking = this.#look()
  }

  /** Keeps what was counted, swears once more and resolves when everything is written. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the server stops'))
    await this.#looking
    await this.#keepCounts(Infinity)
    await this.#swear()
    await this.#writer.idle()
  }

  async record(event: AuditEvent): Promise<void> {
    try {
      await this.#writer.append(event, this.#options.clock.now())
    } catch (error) {
      throw new FairwayError('AUDIT_UNAVAILABLE', `${event.action} cannot be recorded`, {
        cause: error,
      })
    }
    if (this.#writer.written - this.#sworn.written >= CHECKPOINT_RECORDS) void this.#swear()
  }

  async note(event: AuditEvent): Promise<void> {
    const now = this.#options.clock.now()
    if (event.outcome === 'denied') await this.#keepCounts(now)
    const kept = event.outcome === 'denied' ? this.#denials.admit(event, now) : event
    if (kept !== null) await this.#keep(kept)
  }

  list(query: AuditQuery, signal: AbortSignal): AsyncIterable<string> {
    const { store, clock } = this.#options
    return listLines(store, query, { clock, signal })
  }

  export(): AsyncIterable<string> {
    const { store, signer, clock } = this.#options
    return exportLines(store, (place) => signer.checkpoint(place, clock.now()))
  }

  /** Takes away what is older than is kept, and swears to the new beginning. */
  async forget(): Promise<void> {
    const { clock, store, keptMs, signer } = this.#options
    const now = clock.now()
    let gone: number
    do {
      gone = await store.forget(now - keptMs, FORGOTTEN_AT_ONCE, (head) => {
        const facts = { ...signer.anchor(head.first) }
        return [recordAfter(head, { ...ofSystem('audit:retention'), facts }, now).row]
      })
    } while (gone > 0 && !this.#closing.signal.aborted)
  }

  // Private

  async #keep(event: AuditEvent): Promise<void> {
    try {
      await this.record(event)
    } catch (error) {
      this.#lost ??= { count: 0, since: this.#options.clock.now() }
      this.#lost.count += 1
      const { action, outcome, app, environment, actor } = event
      this.#options.log.error(
        { action, outcome, app, environment, actor: actor.name, error: String(causeOf(error)) },
        'a record of the audit could not be kept',
      )
    }
  }

  async #keepCounts(now: number): Promise<void> {
    for (const event of this.#denials.finished(now)) await this.#keep(event)
  }

  #lostEvent(): Ahead {
    if (this.#lost === null) return { events: [], count: 0 }
    const { count, since } = this.#lost
    return { events: [{ ...ofSystem('audit:lost'), facts: { count, since } }], count }
  }

  /** Signs the newest record, in the chain and outside of it. */
  async #swear(): Promise<void> {
    const { signer, clock, memory, log } = this.#options
    const before = this.#sworn
    const at = clock.now()
    this.#sworn = { ...before, at, written: this.#writer.written }
    const made: Checkpoint[] = []
    try {
      await this.#writer.append((place) => {
        const checkpoint = signer.checkpoint(place, at)
        made.push(checkpoint)
        return { ...ofSystem('audit:checkpoint'), facts: { ...checkpoint } }
      }, at)
      // A transaction that was done again made more than one: the last is the one that stands.
      const checkpoint = made.at(-1)
      if (checkpoint === undefined) return
      this.#sworn = { ...this.#sworn, seq: checkpoint.seq + 1 }
      await memory.write(checkpoint)
      log.info({ ...checkpoint }, 'audit checkpoint')
    } catch (error) {
      this.#sworn = { ...before, at }
      log.error({ error: String(causeOf(error)) }, 'the audit could not be sworn to')
    }
  }

  async #look(): Promise<void> {
    const { clock, log } = this.#options
    const { signal } = this.#closing
    const pause = (): Promise<boolean> =>
      clock.sleep(LOOK_MS, signal).then(
        () => true,
        () => false,
      )
    while (await pause()) {
      try {
        await this.#keepCounts(clock.now())
        await this.#swearWhereDue()
        await this.#forgetWhereDue()
      } catch (error) {
        log.error({ error: String(causeOf(error)) }, 'the audit could not be looked after')
      }
    }
  }

  async #swearWhereDue(): Promise<void> {
    const { clock, store } = this.#options
    if (clock.now() - this.#sworn.at < CHECKPOINT_MS) return
    if ((await store.head()).seq > this.#sworn.seq) await this.#swear()
  }

  async #forgetWhereDue(): Promise<void> {
    const now = this.#options.clock.now()
    if (now - this.#forgotAt < FORGET_EVERY_MS) return
    this.#forgotAt = now
    await this.forget()
  }

  async #stands({ seq, hash }: Checkpoint): Promise<boolean> {
    const { store } = this.#options
    const head = await store.head()
    if (seq === 0 || seq < head.first.seq) return seq <= head.seq
    const [row] = await store.after(seq - 1, 1)
    return row?.seq === seq && readLink(row.line)?.hash === hash
  }

  #tellBroken({ seq, hash }: Pick<Place, 'seq' | 'hash'>): void {
    this.#options.log.error({ seq, hash }, 'the audit was changed, cut or restored from a backup')
    void this.#keep({ ...ofSystem('audit:broken'), facts: { seq, hash } })
  }
}

function ofSystem(action: AuditEvent['action']): AuditEvent {
  return { actor: SYSTEM, action, outcome: 'done', app: null, environment: null }
}

function causeOf(error: unknown): unknown {
  return error instanceof FairwayError ? (error.cause ?? error) : error
}
