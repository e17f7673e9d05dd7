import type { OptionSpec } from './command.ts'

export const DATA_OPTION: OptionSpec = {
  name: 'data',
  value: 'DIR',
  summary: 'data directory (default: the one of this user)',
}
