import { FairwayError } from '../model/errors.ts'
import { didYouMean } from '../spec/did-you-mean.ts'
import type { Arguments } from './arguments.ts'
import type { Command } from './command.ts'

/** The subcommand that was named and the words after it. @throws FairwayError INVALID_REQUEST */
export function subcommand(
  command: Command,
  args: Arguments,
): { readonly name: string; readonly words: readonly string[] } {
  const names = (command.subcommands ?? []).map((each) => each.name)
  const [name, ...words] = args.positionals
  if (name !== undefined && names.includes(name)) return { name, words }
  const near = name === undefined ? '' : didYouMean(name, names)
  throw new FairwayError(
    'INVALID_REQUEST',
    name === undefined
      ? `${command.name} needs ${command.usage}`
      : `unknown command "${command.name} ${name}"`,
    {
      hint:
        near === ''
          ? `\`fairway ${command.name} --help\` has examples.`
          : near.replace('did', 'Did').replace(/"(.*)"/, `\`fairway ${command.name} $1\``),
    },
  )
}
