import type { NodeBody } from '../../contract/node.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { ageText } from '../quantity.ts'
import { tableLines } from '../table.ts'
import { TARGET_OPTION, targetOf } from '../target-option.ts'
import { printable } from '../text-width.ts'

export const nodes: Command = {
  name: 'nodes',
  summary: 'list the nodes of a cluster, what runs there, and notices that they go away',
  usage: '',
  details: [
    'COPIES counts the copies of this server’s apps. SPOT says whether the provider may take the machine away. NOTICE is what the provider has announced.',
  ],
  examples: ['fairway nodes --target prod'],
  options: [TARGET_OPTION],
  positionals: { min: 0, max: 0 },
  run,
}

async function run(context: Context): Promise<number> {
  const { out } = context
  const found = await context.client({ timeoutMs: 60_000 }).listNodes(targetOf(context))
  if (out.json) {
    out.object({ nodes: found })
    return 0
  }
  const rows = found.map((node) => [
    printable(node.name, false),
    stateText(node),
    node.spot ? 'spot' : '',
    copiesText(node),
    noticeText(node, context.now),
  ])
  const header = ['NAME', 'STATE', 'SPOT', 'COPIES', 'NOTICE']
  for (const line of tableLines(header, rows, out.width)) out.line(line)
  return 0
}

function stateText({ ready, schedulable }: NodeBody): string {
  const state = ready ? 'ready' : 'not ready'
  return schedulable ? state : `${state}, cordoned`
}

function copiesText({ copies }: NodeBody): string {
  return copies
    .map(({ ref, process, count }) => {
      const app = ref.environment === 'production' ? ref.app : `${ref.app}/${ref.environment}`
      return `${app} ${process}${count > 1 ? ` x${String(count)}` : ''}`
    })
    .join(', ')
}

function noticeText({ notices }: NodeBody, now: number): string {
  return notices
    .map(({ kind, deadline }) => {
      if (deadline === null) return kind
      const left = deadline - now
      return left > 0 ? `${kind} in ${ageText(left)}` : `${kind} ${ageText(-left)} ago`
    })
    .join(', ')
}
