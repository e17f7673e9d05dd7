import type { RolloutBody } from '../../contract/rollout.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { ageText } from '../quantity.ts'
import { tableLines } from '../table.ts'
import { printable } from '../text-width.ts'

const LOOKED_AT = 50

export const approve: Command = {
  name: 'approve',
  summary: 'let a rollout in a protected environment go on, or refuse it',
  usage: '[ROLLOUT]',
  details: [
    'Without a ROLLOUT those are listed that wait. Approving needs the role operator or admin there and another person than the one who asked; services cannot. Whoever asked can refuse, which takes it back.',
  ],
  examples: [
    'fairway approve --app shop',
    'fairway approve 1764000000000-a1b2c3 --app shop',
    'fairway approve 1764000000000-a1b2c3 --app shop --refuse',
  ],
  options: [{ name: 'refuse', summary: 'end it instead' }],
  positionals: { min: 0, max: 1 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, out } = context
  const client = context.client()
  const ref = await context.ref()
  const [id] = args.positionals
  if (id === undefined) {
    const rollouts = await client.listRollouts(ref, LOOKED_AT)
    return show(
      context,
      rollouts.filter(({ status }) => status === 'waiting'),
    )
  }
  const verdict = args.flag('refuse') ? 'refuse' : 'approve'
  const rollout = await client.judgeRollout(ref, id, verdict)
  if (out.json) out.object({ rollout })
  else if (verdict === 'refuse') out.note(`Refused: ${what(rollout)} ends here.`)
  else out.note(`Approved: ${what(rollout)} by ${printable(rollout.createdBy, false)} goes on.`)
  return 0
}

function show({ out, now }: Context, rollouts: readonly RolloutBody[]): number {
  if (out.json) {
    out.object({ rollouts })
    return 0
  }
  if (rollouts.length === 0) {
    out.note('Nothing waits for approval.')
    return 0
  }
  const rows = rollouts.map((rollout) => [
    rollout.id,
    what(rollout),
    printable(rollout.createdBy, false),
    `${ageText(now - rollout.createdAt)} ago`,
    rollout.approval === null ? '' : `in ${ageText(rollout.approval.expiresAt - now)}`,
  ])
  const header = ['ROLLOUT', 'WHAT', 'ASKED BY', 'SINCE', 'EXPIRES']
  for (const line of tableLines(header, rows, out.width)) out.line(line)
  return 0
}

function what({ request }: RolloutBody): string {
  switch (request.kind) {
    case 'deploy':
      return printable(
        `deploy of ${request.image ?? request.source?.slice(0, 19) ?? 'an app file'}`,
        false,
      )
    case 'rollback':
      return `rollback to ${request.to}`
    case 'secrets':
      return 'other encrypted files'
    case 'config':
      return printable(request.summary, false)
  }
}
