import { FairwayError } from '../model/errors.ts'
import { parseTargetName, type TargetName } from '../model/names.ts'
import type { Command } from './command.ts'
import type { Context } from './context.ts'

export const TARGET_OPTION: Command['options'][number] = {
  name: 'target',
  value: 'NAME',
  summary: 'cluster',
}

/** The cluster that a command is about. @throws FairwayError INVALID_REQUEST without one */
export function targetOf({ args }: Context): TargetName {
  const given = args.value('target')
  if (given !== undefined) return parseTargetName(given)
  throw new FairwayError('INVALID_REQUEST', 'which cluster is not said', {
    hint: 'Say --target NAME; `fairway target list` shows them.',
  })
}
