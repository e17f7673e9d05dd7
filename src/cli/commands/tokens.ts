import type { TokenBody } from '../../contract/token.ts'
import type { FairwayClient } from '../../client/fairway-client.ts'
import { FairwayError } from '../../model/errors.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { GRANT_OPTIONS, grantFrom, grantTexts } from '../grant.ts'
import { ageText, durationMs } from '../quantity.ts'
import { subcommand } from '../subcommand.ts'
import { tableLines } from '../table.ts'
import { printable } from '../text-width.ts'

export const tokens: Command = {
  name: 'tokens',
  summary: 'create, list and revoke tokens',
  usage: 'create|list|revoke',
  details: [
    'A new token is printed once and kept nowhere: the server knows only its hash. Without --app, --team and --env it is for everything; nobody can give more than they have.',
    'A token is for a service, and a service never approves. With --person it is for that person, in whose name it acts.',
  ],
  examples: [
    'fairway tokens create ci --app shop --env staging --only deploy,logs --expires 90d',
    'fairway tokens create ada-laptop --person ada --role operator',
    'fairway tokens list',
    'fairway tokens revoke ci',
  ],
  options: [
    ...GRANT_OPTIONS,
    { name: 'person', value: 'NAME', summary: 'create: whose token it is (default: a service)' },
    { name: 'expires', value: 'TIME', summary: 'create: 12h, 90d (default: never)' },
  ],
  subcommands: [
    { name: 'create', usage: 'NAME', summary: 'make a token' },
    { name: 'list', usage: '', summary: 'list tokens' },
    { name: 'revoke', usage: 'NAME|ID', summary: 'make a token worthless at once' },
  ],
  positionals: { min: 1, max: 2 },
  run,
}

async function run(context: Context): Promise<number> {
  const { name, words } = subcommand(tokens, context.args)
  const client = context.client()
  if (name === 'list') return show(context, await client.listTokens())
  const [word, extra] = words
  if (word === undefined || extra !== undefined) {
    throw new FairwayError('INVALID_REQUEST', `tokens ${name} needs one name`)
  }
  return name === 'create' ? create(context, client, word) : revoke(context, client, word)
}

async function create(context: Context, client: FairwayClient, name: string): Promise<number> {
  const { args, out } = context
  const expires = args.value('expires')
  const { token, view } = await client.createToken({
    name,
    person: args.value('person') ?? null,
    grants: [grantFrom(args)],
    expiresAt: expires === undefined ? null : context.now + durationMs(expires, '--expires'),
  })
  if (out.json) {
    out.object({ token, ...view })
    return 0
  }
  // Alone on standard output, so that it can be piped into a secret store.
  out.line(token)
  if (!out.quiet) {
    out.problem(
      `Token of ${view.name} (${grantTexts(view.grants)}), shown this once. FAIRWAY_TOKEN or`,
    )
    out.problem(`\`fairway login ${client.server} --token -\` use it.`)
  }
  return 0
}

async function revoke(context: Context, client: FairwayClient, word: string): Promise<number> {
  const found = (await client.listTokens()).find(({ id, name }) => id === word || name === word)
  if (found === undefined) {
    throw new FairwayError('NOT_FOUND', `there is no token ${JSON.stringify(word)}`, {
      hint: '`fairway tokens list` shows them.',
    })
  }
  await client.revokeToken(found.id)
  if (context.out.json) context.out.object({ revoked: found.id })
  else context.out.note(`Revoked ${found.name}.`)
  return 0
}

function show({ out, now }: Context, found: readonly TokenBody[]): number {
  if (out.json) {
    out.object({ tokens: found })
    return 0
  }
  const age = (time: number | null): string =>
    time === null ? 'never' : `${ageText(now - time)} ago`
  const rows = found.map(({ id, name, person, grants, createdAt, lastUsedAt, expiresAt }) => [
    printable(name, false),
    grantTexts(grants),
    person === null ? '' : printable(person, false),
    age(createdAt),
    age(lastUsedAt),
    expiresAt === null ? '' : expiresAt < now ? 'expired' : `in ${ageText(expiresAt - now)}`,
    id,
  ])
  const header = ['NAME', 'MAY', 'PERSON', 'CREATED', 'USED', 'EXPIRES', 'ID']
  for (const line of tableLines(header, rows, out.width)) out.line(line)
  return 0
}
