import type { Context } from './context.ts'

/** An option of a command line. Without `value` it is a flag; with it, `value` is the placeholder in the help: 'URL', 'N'. */
export interface OptionSpec {
  readonly name: string
  readonly short?: string
  readonly value?: string
  readonly summary: string
}

export interface SubcommandSpec {
  readonly name: string
  /** What follows the subcommand: 'KEY=VALUE…'. */
  readonly usage: string
  readonly summary: string
}

/** One command: what its help says and what it does. The module of a command is loaded only when it is named. */
export interface Command {
  readonly name: string
  /** One line, starts with a verb, no full stop. */
  readonly summary: string
  /** What follows the name: '[PATH]'. */
  readonly usage: string
  /** Paragraphs between usage and options; empty where the summary says it all. */
  readonly details: readonly string[]
  /** Whole command lines that work as they stand. */
  readonly examples: readonly string[]
  readonly options: readonly OptionSpec[]
  readonly subcommands?: readonly SubcommandSpec[]
  /** Number of positional arguments that are allowed (subcommand not counted). */
  readonly positionals: { readonly min: number; readonly max: number }
  /** True where everything after `--` is a command for the app. */
  readonly rest?: boolean
  /** Resolves to the exit code. */
  run(context: Context): Promise<number>
}

/** Options that every command understands. */
export const GLOBAL_OPTIONS: readonly OptionSpec[] = [
  { name: 'server', value: 'URL', summary: 'server to talk to (FAIRWAY_SERVER)' },
  {
    name: 'app',
    short: 'a',
    value: 'NAME',
    summary: 'app; default: name in fairway.yaml, else folder',
  },
  { name: 'env', short: 'e', value: 'NAME', summary: 'environment (default: production)' },
  { name: 'json', summary: 'machine-readable output' },
  { name: 'quiet', short: 'q', summary: 'only results and errors' },
  { name: 'no-color', summary: 'no colours (NO_COLOR)' },
  { name: 'help', short: 'h', summary: 'this help' },
]
