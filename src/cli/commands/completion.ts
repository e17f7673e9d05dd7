import { FairwayError } from '../../model/errors.ts'
import { GLOBAL_OPTIONS, type Command } from '../command.ts'
import { COMMANDS } from '../commands.ts'
import type { Context } from '../context.ts'

const SHELLS = ['bash', 'zsh'] as const

export const completion: Command = {
  name: 'completion',
  summary: 'print a completion script for the shell',
  usage: 'bash|zsh',
  details: [],
  examples: ['source <(fairway completion bash)', 'fairway completion zsh > ~/.zfunc/_fairway'],
  options: [],
  positionals: { min: 1, max: 1 },
  run,
}

async function run({ args, out }: Context): Promise<number> {
  const shell = SHELLS.find((each) => each === args.positionals[0])
  if (shell === undefined) {
    throw new FairwayError('INVALID_REQUEST', `completion knows ${SHELLS.join(' and ')}`)
  }
  const commands = await Promise.all(Object.values(COMMANDS).map((load) => load()))
  const script = shell === 'bash' ? bash(commands) : zsh(commands)
  if (out.json) out.object({ shell, script })
  else out.line(script)
  return 0
}

/** Words that may follow a command: its subcommands and all options. */
function words(command: Command): string {
  return [
    ...(command.subcommands ?? []).map(({ name }) => name),
    ...(command.name === 'completion' ? SHELLS : []),
    ...[...command.options, ...GLOBAL_OPTIONS].map(({ name }) => `--${name}`),
  ].join(' ')
}

function bash(commands: readonly Command[]): string {
  const names = commands.map(({ name }) => name)
  return `# bash completion of fairway
_fairway() {
  local word="\${COMP_WORDS[COMP_CWORD]}" command="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${COMP_WORDS[i]}" in
      ${names.join('|')}) command="\${COMP_WORDS[i]}"; break ;;
      --) return ;;
    esac
  done
  case "$command" in
    "") COMPREPLY=($(compgen -W "${names.join(' ')} ${GLOBAL_OPTIONS.map(({ name }) => `--${name}`).join(' ')}" -- "$word")) ;;
${commands.map((command) => `    ${command.name}) COMPREPLY=($(compgen -W "${words(command)}" -- "$word")) ;;`).join('\n')}
  esac
}
complete -o default -F _fairway fairway`
}

function zsh(commands: readonly Command[]): string {
  const described = commands
    .map(({ name, summary }) => `    '${name}:${quoted(summary)}'`)
    .join('\n')
  const cases = commands
    .map((command) => {
      const options = [...command.options, ...GLOBAL_OPTIONS].map(
        ({ name, summary, value }) =>
          `'--${name}${value === undefined ? '' : '='}[${quoted(summary)}]'`,
      )
      const first = [
        ...(command.subcommands ?? []).map(({ name }) => name),
        ...(command.name === 'completion' ? SHELLS : []),
      ]
      const positional = first.length === 0 ? "'*:file:_files'" : `'1:command:(${first.join(' ')})'`
      return `    ${command.name}) _arguments ${options.join(' ')} ${positional} ;;`
    })
    .join('\n')
  return `#compdef fairway
# zsh completion of fairway
_fairway() {
  local -a commands
  commands=(
${described}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases}
  esac
}
if [ "$funcstack[1]" = _fairway ]; then _fairway "$@"; else compdef _fairway fairway; fi`
}

function quoted(text: string): string {
  return text.replaceAll("'", "'\\''").replace(/[[\]:]/g, '\\$&')
}
