import { FairwayError } from '../model/errors.ts'
import { parseArguments, type Arguments } from './arguments.ts'
import { GLOBAL_OPTIONS, type Command } from './command.ts'
import { COMMANDS, SYNONYMS } from './commands.ts'
import { Context } from './context.ts'
import { failureOf } from './failure.ts'
import type { CliIo } from './io.ts'
import type { CliPrograms } from './programs.ts'
import { report } from './report.ts'
import { Terminal } from './terminal.ts'

/** Runs one command line, `argv` being what follows the program's name, and resolves to its exit code. Never rejects. */
export async function main(
  argv: readonly string[],
  io: CliIo,
  programs: CliPrograms,
): Promise<number> {
  const out = terminal(argv, io)
  try {
    return await dispatch(argv, io, programs, out)
  } catch (error) {
    const failure = failureOf(error)
    report(failure, out)
    if (io.env['FAIRWAY_DEBUG'] !== undefined && error instanceof Error) {
      out.problem(error.stack ?? '')
    }
    return failure.exit
  }
}

async function dispatch(
  argv: readonly string[],
  io: CliIo,
  programs: CliPrograms,
  out: Terminal,
): Promise<number> {
  const { name, rest } = commandIn(argv)
  if (name === null || (name === 'help' && rest.every((word) => word.startsWith('-')))) {
    const { overview } = await import('./help.ts')
    out.line(overview(await allCommands()))
    return 0
  }
  if (name === 'help') {
    return help(await loadCommand(rest.find((word) => !word.startsWith('-')) ?? ''), out)
  }
  const command = await loadCommand(name)
  const args = parseArguments(rest, [...command.options, ...GLOBAL_OPTIONS])
  if (args.flag('help')) return help(command, out)
  checkPositionals(command, args)
  const context = new Context(args, io, programs, out)
  try {
    return await command.run(context)
  } finally {
    out.clearStatus()
    context.close()
  }
}

async function help(command: Command, out: Terminal): Promise<number> {
  const { commandHelp } = await import('./help.ts')
  out.line(commandHelp(command))
  return 0
}

/** The command's name wherever it stands among global options, and the words without it. */
function commandIn(argv: readonly string[]): { name: string | null; rest: readonly string[] } {
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? ''
    if (word === '--version' || word === '-v') return { name: 'version', rest: [] }
    if (!word.startsWith('-')) return { name: word, rest: argv.toSpliced(index, 1) }
    const option = GLOBAL_OPTIONS.find(
      (each) => word === `--${each.name}` || word === `-${each.short ?? ''}`,
    )
    if (option?.value !== undefined) index++
  }
  // Only options: wrong ones deserve their error, the others mean the overview.
  parseArguments(argv, GLOBAL_OPTIONS)
  return { name: null, rest: argv }
}

async function loadCommand(name: string): Promise<Command> {
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (load !== undefined) return load()
  const { didYouMean } = await import('../spec/did-you-mean.ts')
  const synonym = Object.hasOwn(SYNONYMS, name) ? SYNONYMS[name] : undefined
  const near =
    synonym === undefined ? didYouMean(name, Object.keys(COMMANDS)) : `did you mean "${synonym}"?`
  throw new FairwayError('INVALID_REQUEST', `unknown command ${JSON.stringify(name)}`, {
    hint:
      near === ''
        ? '`fairway --help` lists the commands.'
        : near.replace('did', 'Did').replace(/"(.*)"/, '`fairway $1`'),
  })
}

async function allCommands(): Promise<readonly Command[]> {
  return Promise.all(Object.values(COMMANDS).map((load) => load()))
}

function checkPositionals(command: Command, args: Arguments): void {
  const { min, max } = command.positionals
  const usage = `fairway ${command.name} ${command.usage}`.trim()
  const hint = `Usage: ${usage}; \`fairway ${command.name} --help\` has examples.`
  if (args.rest !== null && command.rest !== true) {
    throw new FairwayError('INVALID_REQUEST', `${command.name} takes no command after --`, { hint })
  }
  if (command.subcommands !== undefined) return
  if (args.positionals.length < min) {
    throw new FairwayError('INVALID_REQUEST', `${command.name} needs ${command.usage}`, { hint })
  }
  const extra = args.positionals[max]
  if (extra !== undefined) {
    throw new FairwayError('INVALID_REQUEST', `unexpected ${JSON.stringify(extra)}`, { hint })
  }
}

function terminal(argv: readonly string[], io: CliIo): Terminal {
  const end = argv.indexOf('--')
  const ours = end < 0 ? argv : argv.slice(0, end)
  const noColor = ours.includes('--no-color') || (io.env['NO_COLOR'] ?? '') !== ''
  return new Terminal(io, {
    json: ours.includes('--json'),
    quiet: ours.includes('--quiet') || ours.includes('-q'),
    color: io.isTTY && !noColor && io.env['TERM'] !== 'dumb',
  })
}
