/** Node grows its heap while it works and keeps it: a platform is quiet most of the time, and its memory belongs to the apps then. */
import type { Clock } from '../model/clock.ts'

const LOOK_MS = 5_000
/** Share of one processor below which a program is quiet. A collection stops it for a moment: nobody must be waiting. */
const QUIET_SHARE = 0.02
/** Less work than this leaves too little behind. */
const WORTH_MS = 300

/** Decides when memory is collected, from the processor time that the program has used so far, told at every look. */
export class QuietMoment {
  #before = 0
  /** A start leaves something behind, however quick it was. */
  #collectedAt = -WORTH_MS

  /** True where the program did next to nothing since the last look, and enough before. */
  isNow(cpuMs: number): boolean {
    const used = cpuMs - this.#before
    this.#before = cpuMs
    return used <= LOOK_MS * QUIET_SHARE && cpuMs - this.#collectedAt >= WORTH_MS
  }

  /** The collection itself is no work to clean up after. */
  collected(cpuMs: number): void {
    this.#before = cpuMs
    this.#collectedAt = cpuMs
  }
}

export interface QuietMemoryOptions {
  readonly clock: Clock
  /** Default: everything that can be collected, where Node was started with `--expose-gc`; else nothing is ever done. */
  readonly collect?: (() => void) | undefined
  readonly cpuMs?: () => number
}

/** Gives memory back in quiet moments until the signal aborts. */
export async function keepMemoryQuiet(
  { clock, collect = collectAll(), cpuMs = ownCpuMs }: QuietMemoryOptions,
  signal: AbortSignal,
): Promise<void> {
  if (collect === undefined) return
  const moment = new QuietMoment()
  for (;;) {
    try {
      await clock.sleep(LOOK_MS, signal)
    } catch (error) {
      if (signal.aborted) return
      throw error
    }
    if (!moment.isNow(cpuMs())) continue
    collect()
    moment.collected(cpuMs())
  }
}

function collectAll(): (() => void) | undefined {
  const { gc } = globalThis
  if (gc === undefined) return undefined
  return () => {
    gc({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  }
}

function ownCpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
