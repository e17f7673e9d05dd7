import { z } from 'zod'
import { CHAIN_START, readLink } from '../lib/hash-chain.ts'
import { isSignedAnchor, isSignedCheckpoint, type Anchor, type Checkpoint } from './checkpoint.ts'

/** More records than this without a signed checkpoint between them were not written by a server. */
const MOST_UNSWORN = 2500
const MOST_FINDINGS = 100

export const checkpointSchema: z.ZodType<Checkpoint> = z.object({
  seq: z.number().int(),
  hash: z.string(),
  time: z.number(),
  key: z.string(),
  signature: z.string(),
})
const anchorSchema: z.ZodType<Anchor> = z.object({
  seq: z.number().int(),
  prev: z.string(),
  key: z.string(),
  signature: z.string(),
})
const recordSchema = z.object({
  v: z.literal(1),
  seq: z.number().int().min(1),
  time: z.number(),
  action: z.string(),
  facts: z.record(z.string(), z.unknown()),
})
const endSchema = z.strictObject({ checkpoint: checkpointSchema })

type Place = Pick<Checkpoint, 'seq' | 'hash' | 'time'>

export interface Verification {
  readonly records: number
  readonly first: number | null
  readonly last: number | null
  readonly checkpoints: number
  /** Who signed, where it was not said whom to believe. */
  readonly keys: readonly string[]
  /** What is wrong, for people; empty where nothing is. */
  readonly findings: readonly string[]
  /** The last checkpoint, to be kept elsewhere. */
  readonly checkpoint: Checkpoint | null
}

export interface VerifierOptions {
  /** Keys that may have signed; empty = any, and `Verification.keys` says which. */
  readonly trusted?: readonly string[]
  /** Checkpoints of before that were kept elsewhere. */
  readonly kept?: readonly Checkpoint[]
}

/** Judges an export line by line, with nothing but the lines, the keys and what was kept: no server, no database. */
export class ChainVerifier {
  readonly #trusted: ReadonlySet<string>
  readonly #kept: readonly Checkpoint[]
  readonly #keys = new Set<string>()
  readonly #findings: string[] = []
  readonly #anchors: Anchor[] = []
  #first: { readonly seq: number; readonly prev: string } | null = null
  /** Null after a line that cannot be read: what follows it is judged anew. */
  #last: Place | null = null
  #sworn = 0
  #records = 0
  #checkpoints = 0
  #lines = 0
  #end: Checkpoint | null = null

  constructor({ trusted = [], kept = [] }: VerifierOptions = {}) {
    this.#trusted = new Set(trusted)
    this.#kept = kept
    for (const checkpoint of kept)
      if (!this.#isSworn(checkpoint) || !isSignedCheckpoint(checkpoint))
        this.#find(`the checkpoint of record ${String(checkpoint.seq)} that was kept is not signed`)
  }

  /** One line of the export, without its line break. */
  take(line: string): void {
    this.#lines += 1
    if (this.#end !== null) this.#find(`line ${String(this.#lines)} stands after the end`)
    const link = readLink(line)
    const value = jsonOf(line)
    const end = endSchema.safeParse(value)
    const record = recordSchema.safeParse(value)
    if (link !== null && record.success) this.#takeRecord(record.data, link)
    else if (end.success && JSON.stringify(end.data) === line) this.#end = end.data.checkpoint
    else {
      const after = this.#last === null ? '' : `, after record ${String(this.#last.seq)}`
      this.#find(`line ${String(this.#lines)}${after} was changed`)
      this.#last = null
    }
  }

  end(): Verification {
    this.#judgeBeginning()
    this.#judgeEnd()
    return {
      records: this.#records,
      first: this.#first?.seq ?? null,
      last: this.#last?.seq ?? null,
      checkpoints: this.#checkpoints,
      keys: [...this.#keys],
      findings: this.#findings,
      checkpoint: this.#end,
    }
  }

  // Private

  #takeRecord(
    { seq, time, action, facts }: z.output<typeof recordSchema>,
    { prev, hash }: { readonly prev: string; readonly hash: string },
  ): void {
    const at = `record ${String(seq)}`
    const before = this.#last
    if (this.#first === null) {
      this.#first = { seq, prev }
      this.#sworn = seq
    }
    if (before !== null && seq !== before.seq + 1)
      this.#find(`${at} follows record ${String(before.seq)}: some are missing or in another order`)
    else if (before !== null && prev !== before.hash)
      this.#find(`${at} does not follow from the one before it`)
    if (before !== null && time < before.time) this.#find(`${at} is older than the one before it`)
    for (const kept of this.#kept)
      if (kept.seq === seq && kept.hash !== hash)
        this.#find(
          `${at} is not the one that the kept checkpoint is of: the chain was written anew`,
        )
    if (action === 'audit:checkpoint') this.#takeCheckpoint(seq, prev, facts)
    if (action === 'audit:retention') this.#takeAnchor(at, facts)
    if (action === 'audit:broken') this.#find(`${at}: the server itself found the audit changed`)
    if (seq - this.#sworn === MOST_UNSWORN)
      this.#find(`no signed checkpoint in ${String(MOST_UNSWORN)} records up to ${at}`)
    this.#records += 1
    this.#last = { seq, hash, time }
  }

  #takeCheckpoint(seq: number, prev: string, facts: unknown): void {
    const { data } = checkpointSchema.safeParse(facts)
    const fits = data?.seq === seq - 1 && data.hash === prev && isSignedCheckpoint(data)
    if (!fits || !this.#isSworn(data)) {
      this.#find(`record ${String(seq)} is a checkpoint that no known server signed`)
      return
    }
    this.#sworn = seq
    this.#checkpoints += 1
  }

  #takeAnchor(at: string, facts: unknown): void {
    const { data } = anchorSchema.safeParse(facts)
    if (data === undefined || !isSignedAnchor(data) || !this.#isSworn(data))
      this.#find(`${at} is a retention that no known server signed`)
    else this.#anchors.push(data)
  }

  #judgeBeginning(): void {
    const first = this.#first
    if (first === null) {
      this.#find('there are no records')
      return
    }
    if (first.seq === 1 && first.prev === CHAIN_START) return
    const anchored = this.#anchors.some(({ seq, prev }) => seq === first.seq && prev === first.prev)
    if (anchored) return
    this.#find(
      `the first record is ${String(first.seq)}, and no signed retention says that it may be`,
    )
  }

  #judgeEnd(): void {
    const end = this.#end
    const last = this.#last
    if (end === null) this.#find('the signed checkpoint at the end is missing: it was cut')
    else if (!isSignedCheckpoint(end) || !this.#isSworn(end))
      this.#find('the checkpoint at the end is not signed by a known server')
    else if (end.seq !== last?.seq || end.hash !== last.hash)
      this.#find(`the checkpoint at the end is of record ${String(end.seq)}, which is not the last`)
    for (const { seq } of this.#kept)
      if (last !== null && seq > last.seq)
        this.#find(`record ${String(seq)} was there when its checkpoint was kept, and is gone`)
  }

  #isSworn({ key }: { readonly key: string }): boolean {
    this.#keys.add(key)
    return this.#trusted.size === 0 || this.#trusted.has(key)
  }

  #find(finding: string): void {
    if (this.#findings.length < MOST_FINDINGS) this.#findings.push(finding)
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
