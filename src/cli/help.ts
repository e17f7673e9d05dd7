import { GLOBAL_OPTIONS, type Command, type OptionSpec } from './command.ts'

/** What fits a terminal of any age. */
const WIDTH = 80

/** Help of one command: usage, what it does, options (those of every command where `globals` is set), examples. */
export function commandHelp(command: Command, globals = true): string {
  const subcommands = command.subcommands ?? []
  const usages =
    subcommands.length === 0
      ? [usageLine(command.name, command.usage)]
      : subcommands.map((each) => usageLine(`${command.name} ${each.name}`, each.usage))
  const sections = [
    usages.join('\n'),
    [`${capitalised(command.summary)}.`, ...command.details]
      .map((text) => wrapped(text, WIDTH).join('\n'))
      .join('\n\n'),
    ...(subcommands.length === 0
      ? []
      : [`Commands:\n${aligned(subcommands.map(({ name, summary }) => [name, summary]))}`]),
    ...(command.options.length === 0
      ? []
      : [`Options:\n${aligned(command.options.map(optionRow))}`]),
    ...(globals ? [`Options of every command:\n${aligned(GLOBAL_OPTIONS.map(optionRow))}`] : []),
    `Examples:\n${command.examples.map((example) => `  ${example}`).join('\n')}`,
  ]
  return sections.join('\n\n')
}

/** The overview that `fairway` alone prints. */
export function overview(commands: readonly Pick<Command, 'name' | 'summary'>[]): string {
  return [
    'fairway COMMAND [OPTIONS]',
    'From a folder, an artifact or an image to a live URL.',
    `Commands:\n${aligned(commands.map(({ name, summary }) => [name, summary]))}`,
    `Options of every command:\n${aligned(GLOBAL_OPTIONS.map(optionRow))}`,
    '`fairway COMMAND --help` explains a command.',
  ].join('\n\n')
}

function usageLine(name: string, usage: string): string {
  // What follows `--` belongs to the command that is run there.
  const [own = '', rest] = usage.split(/ ?(?=-- )/)
  return ['fairway', name, own, '[OPTIONS]', rest].filter((word) => (word ?? '') !== '').join(' ')
}

function optionRow(option: OptionSpec): [string, string] {
  const short = option.short === undefined ? '    ' : `-${option.short}, `
  const value = option.value === undefined ? '' : ` ${option.value}`
  return [`${short}--${option.name}${value}`, option.summary]
}

function aligned(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length))
  const indent = ' '.repeat(width + 4)
  return rows
    .map(([left, right]) => {
      const lines = wrapped(right, WIDTH - indent.length)
      return `  ${left.padEnd(width)}  ${lines.join(`\n${indent}`)}`
    })
    .join('\n')
}

function wrapped(paragraph: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of paragraph.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  return [...lines, line]
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
