import { FairwayError } from '../model/errors.ts'
import type { OptionSpec } from './command.ts'
import { didYouMean } from '../spec/did-you-mean.ts'

/** A parsed command line: values of options, positional arguments, and what follows `--`. */
export class Arguments {
  readonly positionals: readonly string[]
  /** What follows `--`; null where there was no `--`. */
  readonly rest: readonly string[] | null
  readonly #values: ReadonlyMap<string, readonly string[]>

  constructor(
    positionals: readonly string[],
    rest: readonly string[] | null,
    values: ReadonlyMap<string, readonly string[]>,
  ) {
    this.positionals = positionals
    this.rest = rest
    this.#values = values
  }

  flag(name: string): boolean {
    return this.#values.has(name)
  }

  /** The last value given; undefined where the option was not given. */
  value(name: string): string | undefined {
    return this.#values.get(name)?.at(-1)
  }

  /**
   * A whole number of at least `min`; undefined where the option was not given.
   * @throws FairwayError INVALID_REQUEST
   */
  integer(name: string, min: number): number | undefined {
    const text = this.value(name)
    return text === undefined ? undefined : wholeNumber(text, `--${name}`, min)
  }
}

/** @throws FairwayError INVALID_REQUEST where `text` is not a whole number of at least `min` */
export function wholeNumber(text: string, what: string, min: number): number {
  const number = Number(text)
  if (/^\d+$/.test(text) && number >= min && number <= Number.MAX_SAFE_INTEGER) return number
  throw new FairwayError(
    'INVALID_REQUEST',
    `${what} must be a whole number of at least ${min}, not ${JSON.stringify(text)}`,
  )
}

/**
 * Reads options (`--name value`, `--name=value`, `-n value`, `-nvalue`, `-fq`) and positional arguments in any order; everything after `--` is `rest`.
 * @throws FairwayError INVALID_REQUEST for unknown options, missing or unwanted values
 */
export function parseArguments(argv: readonly string[], options: readonly OptionSpec[]): Arguments {
  const parser = new Parser(argv, options)
  return parser.parse()
}

class Parser {
  readonly #argv: readonly string[]
  readonly #options: readonly OptionSpec[]
  readonly #values = new Map<string, string[]>()
  readonly #positionals: string[] = []
  #next = 0

  constructor(argv: readonly string[], options: readonly OptionSpec[]) {
    this.#argv = argv
    this.#options = options
  }

  parse(): Arguments {
    let rest: readonly string[] | null = null
    for (;;) {
      const word = this.#argv[this.#next++]
      if (word === undefined) break
      if (word === '--') {
        rest = this.#argv.slice(this.#next)
        break
      }
      if (word.startsWith('--')) this.#long(word)
      else if (word.startsWith('-') && word !== '-') this.#short(word)
      else this.#positionals.push(word)
    }
    return new Arguments(this.#positionals, rest, this.#values)
  }

  #long(word: string): void {
    const equals = word.indexOf('=')
    const name = equals < 0 ? word.slice(2) : word.slice(2, equals)
    const option = this.#options.find((each) => each.name === name)
    if (option === undefined) throw this.#unknown(`--${name}`)
    if (option.value === undefined) {
      if (equals >= 0) {
        throw new FairwayError('INVALID_REQUEST', `option --${name} takes no value`)
      }
      this.#set(option, '')
      return
    }
    this.#set(option, equals < 0 ? this.#valueAfter(option, `--${name}`) : word.slice(equals + 1))
  }

  #short(word: string): void {
    for (let index = 1; index < word.length; index++) {
      const letter = word[index] ?? ''
      const option = this.#options.find((each) => each.short === letter)
      if (option === undefined) throw this.#unknown(`-${letter}`)
      if (option.value === undefined) {
        this.#set(option, '')
        continue
      }
      const attached = word.slice(index + 1).replace(/^=/, '')
      this.#set(option, attached === '' ? this.#valueAfter(option, `-${letter}`) : attached)
      return
    }
  }

  #valueAfter(option: OptionSpec, written: string): string {
    const value = this.#argv[this.#next]
    // A lone '-' means standard input; anything else with a dash is an option that swallowed its value.
    if (value === undefined || (value.startsWith('-') && value !== '-')) {
      throw new FairwayError(
        'INVALID_REQUEST',
        `option ${written} needs a value: ${written} ${option.value ?? ''}`,
      )
    }
    this.#next++
    return value
  }

  #set(option: OptionSpec, value: string): void {
    const values = this.#values.get(option.name)
    if (values === undefined) this.#values.set(option.name, [value])
    else values.push(value)
  }

  #unknown(written: string): FairwayError {
    const near = didYouMean(
      written.replace(/^-+/, ''),
      this.#options.map((option) => option.name),
    ).replace(/"(.*)"/, '--$1')
    return new FairwayError('INVALID_REQUEST', `unknown option ${written}`, {
      hint: near === '' ? 'The command’s --help lists its options.' : capitalised(near),
    })
  }
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
