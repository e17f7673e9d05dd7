import type { FairwayClient } from '../../client/fairway-client.ts'
import type { UserWithSessionsBody } from '../../contract/login.ts'
import { FairwayError } from '../../model/errors.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { ageText } from '../quantity.ts'
import { subcommand } from '../subcommand.ts'
import { tableLines } from '../table.ts'
import { printable } from '../text-width.ts'

export const users: Command = {
  name: 'users',
  summary: 'list people who logged in and end their sessions',
  usage: 'list|end|remove',
  details: [
    'People log in at the identity provider; who is disabled there is out here within 60 seconds. `end` is for a lost laptop: at once, and the person may log in again.',
    '`remove` forgets somebody who is gone for good, so that the name is free for another person.',
  ],
  examples: [
    'fairway users list',
    'fairway users end ada',
    'fairway users end ada --session 3fB0aa91Kd2x',
    'fairway users remove ada',
  ],
  options: [{ name: 'session', value: 'ID', summary: 'end: only this one' }],
  subcommands: [
    { name: 'list', usage: '', summary: 'list people and their sessions' },
    { name: 'end', usage: 'NAME|ID', summary: 'end all sessions of a person' },
    { name: 'remove', usage: 'NAME|ID', summary: 'end them and forget the person' },
  ],
  positionals: { min: 1, max: 2 },
  run,
}

async function run(context: Context): Promise<number> {
  const { name, words } = subcommand(users, context.args)
  const client = context.client()
  const found = await client.listUsers()
  if (name === 'list') return show(context, found)
  const [word, extra] = words
  if (word === undefined || extra !== undefined) {
    throw new FairwayError('INVALID_REQUEST', `users ${name} needs one name`)
  }
  const user = found.find((each) => each.id === word || each.name === word)
  if (user === undefined) {
    throw new FairwayError('NOT_FOUND', `nobody is known as ${JSON.stringify(word)}`, {
      hint: '`fairway users list` shows who logged in.',
    })
  }
  return name === 'end' ? end(context, client, user) : remove(context, client, user)
}

async function end(
  { args, out }: Context,
  client: FairwayClient,
  user: UserWithSessionsBody,
): Promise<number> {
  const session = args.value('session')
  // Nothing to end is no failure, unless something was named.
  const none = session === undefined && user.sessions.length === 0
  const ended = none ? 0 : await client.endSessions(user.id, session)
  if (out.json) out.object({ user: user.id, ended })
  else
    out.note(`Ended ${ended} session${ended === 1 ? '' : 's'} of ${printable(user.name, false)}.`)
  return 0
}

async function remove(
  { out }: Context,
  client: FairwayClient,
  user: UserWithSessionsBody,
): Promise<number> {
  await client.removeUser(user.id)
  if (out.json) out.object({ removed: user.id })
  else out.note(`Forgot ${printable(user.name, false)}.`)
  return 0
}

function show({ out, now }: Context, found: readonly UserWithSessionsBody[]): number {
  if (out.json) {
    out.object({ users: found })
    return 0
  }
  const rows = found.flatMap((user) => {
    const person = [printable(user.name, false), printable(user.groups.join(' '), false)]
    if (user.sessions.length === 0) {
      return [[...person, '', `${ageText(now - user.lastLoginAt)} ago`, '', '']]
    }
    return user.sessions.map((session) => [
      ...person,
      printable(session.client, false),
      `${ageText(now - session.createdAt)} ago`,
      `${ageText(now - session.lastUsedAt)} ago`,
      session.id,
    ])
  })
  const header = ['NAME', 'GROUPS', 'FROM', 'LOGIN', 'USED', 'SESSION']
  for (const line of tableLines(header, rows, out.width)) out.line(line)
  return 0
}
