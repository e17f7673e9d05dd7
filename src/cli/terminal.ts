import type { CliIo } from './io.ts'
import { clip } from './text-width.ts'

export type Colour = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

const SGR: Readonly<Record<Colour, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
}

export interface TerminalOptions {
  readonly json: boolean
  readonly quiet: boolean
  readonly color: boolean
}

/**
 * What commands print through. Results go to standard output; problems, hints and questions to standard error. On a terminal the
 * last line may be a status line that the next output replaces.
 */
export class Terminal {
  readonly json: boolean
  readonly quiet: boolean
  readonly #io: CliIo
  readonly #color: boolean
  #status = false

  constructor(io: CliIo, options: TerminalOptions) {
    this.#io = io
    this.json = options.json
    this.quiet = options.quiet
    this.#color = options.color
  }

  get isTTY(): boolean {
    return this.#io.isTTY
  }

  /** Width that output should keep to; Infinity in a pipe. */
  get width(): number {
    return this.#io.isTTY ? this.#io.columns() : Infinity
  }

  paint(colour: Colour, text: string): string {
    const [on, off] = SGR[colour]
    return this.#color && text !== '' ? `\x1b[${on}m${text}\x1b[${off}m` : text
  }

  /** A result: printed also with --quiet. Not for --json, whose only output is `object`. */
  line(text = ''): void {
    this.clearStatus()
    this.#io.stdout.write(`${text}\n`)
  }

  /** Something worth knowing that is no result: silent with --quiet and --json. */
  note(text: string): void {
    if (!this.quiet && !this.json) this.line(text)
  }

  /** A problem or a question, on standard error. */
  problem(text: string): void {
    this.clearStatus()
    this.#io.stderr.write(`${text}\n`)
  }

  /** One JSON value on one line. */
  object(value: unknown): void {
    this.#io.stdout.write(`${JSON.stringify(value)}\n`)
  }

  /** Replaces the status line; nothing where output is no terminal. */
  status(text: string): void {
    if (!this.#io.isTTY || this.json || this.quiet) return
    this.#io.stdout.write(`\r${clip(text, this.#io.columns() - 1)}\x1b[K`)
    this.#status = true
  }

  clearStatus(): void {
    if (!this.#status) return
    this.#io.stdout.write('\r\x1b[K')
    this.#status = false
  }

  /** Replaces the whole screen, for `-w`. */
  screen(lines: readonly string[]): void {
    const rows = this.#io.rows()
    const fitting = lines.length < rows ? lines : lines.slice(0, rows - 1)
    this.#io.stdout.write(`\x1b[H${fitting.map((line) => `${line}\x1b[K\n`).join('')}\x1b[J`)
  }
}
