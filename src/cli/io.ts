import type { Readable, Writable } from 'node:stream'
import type { Clock } from '../model/clock.ts'

export interface CliTerminal {
  readonly input: CliIo['stdin']
  readonly output: Writable
  close(): void
}

/** Everything of the outside world that a command may touch besides files and HTTP; bin/ fills it from `process`, tests from strings. */
export interface CliIo {
  readonly stdin: Readable & {
    readonly isTTY?: boolean | undefined
    setRawMode?(raw: boolean): unknown
  }
  /** The terminal that the command was started from, wherever standard input comes from; null where there is none. Whoever opens it closes it. */
  openTerminal(): Promise<CliTerminal | null>
  readonly stdout: Writable
  readonly stderr: Writable
  /** True where standard output is a terminal: colours, redrawn lines, nothing wider than `columns()`. */
  readonly isTTY: boolean
  /** Size of the terminal now; 80 × 24 where there is none. */
  columns(): number
  rows(): number
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly home: string
  readonly clock: Clock
  /** Calls the listener at every Ctrl-C (SIGINT) until the returned function is called. */
  onInterrupt(listener: () => void): () => void
  /** Calls the listener when the terminal changed its size, until the returned function is called. */
  onResize(listener: () => void): () => void
}
