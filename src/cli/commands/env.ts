import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { FairwayError } from '../../model/errors.ts'
import type { AppRef } from '../../model/names.ts'
import type { FairwayClient } from '../../client/fairway-client.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { parseDotenv } from '../dotenv.ts'
import { follow } from '../follow.ts'
import { standardInput } from '../standard-input.ts'
import { subcommand } from '../subcommand.ts'
import { printable } from '../text-width.ts'

export const env: Command = {
  name: 'env',
  summary: 'set, unset and list values of an app’s environment',
  usage: 'set|unset|list',
  details: [
    'A change makes a new release of a running app and rolls it out. `NAME=-` reads the value from standard input, so that a secret stands in no command line. `list` prints names; --values prints values too, where the token may read them.',
  ],
  examples: [
    'fairway env set LOG_LEVEL=debug GREETING="good morning"',
    'pass show shop/api-key | fairway env set API_KEY=-',
    'fairway env set --from-file .env.staging --env staging',
    'fairway env unset LOG_LEVEL',
    'fairway env list --values',
  ],
  options: [
    { name: 'from-file', value: 'FILE', summary: 'set: read NAME=VALUE lines' },
    { name: 'values', summary: 'list: print the values' },
  ],
  subcommands: [
    { name: 'set', usage: 'NAME=VALUE…', summary: 'set values' },
    { name: 'unset', usage: 'NAME…', summary: 'remove values' },
    { name: 'list', usage: '', summary: 'list names' },
  ],
  positionals: { min: 1, max: Infinity },
  run,
}

async function run(context: Context): Promise<number> {
  const { name, words } = subcommand(env, context.args)
  if (name === 'list') return listValues(context)
  const changes = name === 'set' ? await additions(context, words) : removals(words)
  if (Object.keys(changes).length === 0) {
    throw new FairwayError('INVALID_REQUEST', `env ${name} needs at least one name`)
  }
  const client = context.client()
  const ref = await context.ref()
  return change(context, client, ref, changes)
}

async function change(
  context: Context,
  client: FairwayClient,
  ref: AppRef,
  changes: Readonly<Record<string, string | null>>,
): Promise<number> {
  const { out } = context
  const startedAt = context.now
  const rollout = await client.setConfig(ref, changes)
  const names = Object.keys(changes).join(', ')
  if (rollout === null) {
    if (out.json) out.object({ changed: Object.keys(changes), rollout: null })
    out.note(`${names}: kept for the first deploy of ${ref.app}`)
    return 0
  }
  out.note(`${names}: rolling out`)
  const controller = new AbortController()
  const events = client.rolloutEvents(ref, rollout.id, controller.signal)
  const withFirst = (async function* () {
    yield { type: 'rollout', rollout } as const
    yield* events
  })()
  return follow(context, { client, ref, events: withFirst, startedAt, controller })
}

async function listValues(context: Context): Promise<number> {
  const { args, out } = context
  const client = context.client()
  const ref = await context.ref()
  const found = await client.getConfig(ref)
  const values = args.flag('values') ? found.values : null
  if (args.flag('values') && values === null) {
    throw new FairwayError('FORBIDDEN', 'this token may see names only')
  }
  if (out.json) {
    out.object(values === null ? { names: found.names } : { values })
    return 0
  }
  if (found.names.length === 0) out.note(`${ref.app} has no values set.`)
  for (const name of found.names) {
    out.line(values === null ? name : `${name}=${printable(values[name] ?? '', false)}`)
  }
  return 0
}

async function additions(
  { args, io }: Context,
  words: readonly string[],
): Promise<Record<string, string>> {
  const file = args.value('from-file')
  const changes: Record<string, string> =
    file === undefined ? {} : parseDotenv(readFileSync(resolve(io.cwd, file), 'utf8'), file)
  for (const word of words) {
    const equals = word.indexOf('=')
    if (equals <= 0) {
      throw new FairwayError(
        'INVALID_REQUEST',
        `expected NAME=VALUE, not ${JSON.stringify(word.slice(0, 40))}`,
      )
    }
    const value = word.slice(equals + 1)
    changes[word.slice(0, equals)] = value === '-' ? await standardInput(io.stdin) : value
  }
  return changes
}

function removals(words: readonly string[]): Record<string, null> {
  for (const word of words) {
    if (word.includes('=')) {
      throw new FairwayError(
        'INVALID_REQUEST',
        `unset takes names only, not ${JSON.stringify(word)}`,
      )
    }
  }
  return Object.fromEntries(words.map((word) => [word, null]))
}
