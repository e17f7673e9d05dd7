import type { BindingBody } from '../../contract/team-endpoints.ts'
import { FairwayError } from '../../model/errors.ts'
import type { Arguments } from '../arguments.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { GRANT_OPTIONS, grantFrom, grantText } from '../grant.ts'
import { ageText } from '../quantity.ts'
import { subcommand } from '../subcommand.ts'
import { tableLines } from '../table.ts'
import { printable } from '../text-width.ts'

export const access: Command = {
  name: 'access',
  summary: 'say what users and groups of the identity provider may do',
  usage: 'list|grant|revoke',
  details: [
    'A grant is a role, everywhere or limited by --app, --team and --env. Names of users and groups are compared letter by letter. Nobody can grant more than they have.',
  ],
  examples: [
    'fairway access grant --group /payments --role developer --team payments',
    'fairway access grant --user ada --role operator --env production',
    'fairway access list',
  ],
  options: [
    { name: 'user', value: 'NAME', summary: 'grant: to this user' },
    { name: 'group', value: 'NAME', summary: 'grant: to everybody in this group' },
    ...GRANT_OPTIONS,
  ],
  subcommands: [
    { name: 'list', usage: '', summary: 'list what is granted' },
    { name: 'grant', usage: '--user|--group NAME', summary: 'grant a role' },
    { name: 'revoke', usage: 'ID', summary: 'take a grant back; `access list` shows its id' },
  ],
  positionals: { min: 1, max: 2 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, out } = context
  const { name, words } = subcommand(access, args)
  const client = context.client()
  if (name === 'list') return show(context, await client.listBindings())
  if (name === 'grant') {
    const grant = grantFrom(args)
    return show(context, [await client.addBinding({ ...whom(args), grant })])
  }
  const [id] = words
  if (id === undefined) throw new FairwayError('INVALID_REQUEST', 'access revoke needs an ID')
  await client.removeBinding(id)
  if (out.json) out.object({ revoked: id })
  else out.note(`Revoked ${id}.`)
  return 0
}

function whom(args: Arguments): Pick<BindingBody, 'kind' | 'name'> {
  const user = args.value('user')
  const group = args.value('group')
  if (user !== undefined && group === undefined) return { kind: 'user', name: user }
  if (group !== undefined && user === undefined) return { kind: 'group', name: group }
  throw new FairwayError('INVALID_REQUEST', 'access grant needs either --user or --group')
}

function show({ out, now }: Context, bindings: readonly BindingBody[]): number {
  if (out.json) {
    out.object({ bindings })
    return 0
  }
  const rows = bindings.map(({ id, kind, name, grant, createdAt, createdBy }) => [
    `${kind} ${printable(name, false)}`,
    grantText(grant),
    `${ageText(now - createdAt)} ago by ${printable(createdBy, false)}`,
    id,
  ])
  for (const line of tableLines(['WHO', 'MAY', 'SINCE', 'ID'], rows, out.width)) out.line(line)
  return 0
}
