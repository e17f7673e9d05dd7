import type { DrainEventBody } from '../../contract/node.ts'
import { FairwayError } from '../../model/errors.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { INTERRUPTED } from '../follow.ts'
import { durationMs } from '../quantity.ts'
import { TARGET_OPTION, targetOf } from '../target-option.ts'
import { printable } from '../text-width.ts'

export const drain: Command = {
  name: 'drain',
  summary: 'move everything away from a node of a cluster',
  usage: 'NODE',
  details: [
    'Nothing new is started on the node, and what runs there is evicted as the disruption budgets allow: an app with two or more copies goes on serving. What DaemonSets run stays, runs of jobs are waited for, and nothing is ever deleted by force. Exit code 5 where something is left when the time is up, with the reason for each.',
    'Ctrl-C ends it and leaves the node cordoned; `fairway uncordon` opens it again.',
  ],
  examples: [
    'fairway drain node-7 --target prod',
    'fairway drain node-7 --target prod --timeout 1h --delete-local-data',
  ],
  options: [
    TARGET_OPTION,
    { name: 'timeout', value: 'TIME', summary: 'end after that long (default: 10m)' },
    {
      name: 'delete-local-data',
      summary: 'also pods that lose data kept on the node, and those that nothing starts again',
    },
  ],
  positionals: { min: 1, max: 1 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, io, out } = context
  const node = args.positionals[0] ?? ''
  const timeoutMs = durationMs(args.value('timeout') ?? '10m', '--timeout')
  const body = { timeoutMs, localData: args.flag('delete-local-data') }
  const controller = new AbortController()
  const stopListening = io.onInterrupt(() => {
    controller.abort()
  })
  const client = context.client()
  try {
    for await (const event of client.drainNode(targetOf(context), node, body, controller.signal)) {
      if (out.json) out.object(event)
      else show(context, event)
      if (event.type === 'end') return ended(context, node, event)
    }
  } catch (error) {
    if (!controller.signal.aborted) throw error
  } finally {
    stopListening()
  }
  if (controller.signal.aborted) {
    out.problem(`${node} stays cordoned; what was told to go goes on going.`)
    return INTERRUPTED
  }
  throw new FairwayError('SERVER_UNREACHABLE', 'the server ended before the drain did', {
    hint: 'The node stays cordoned. Say the same again to go on.',
  })
}

const WORDS = {
  evicting: 'moves',
  blocked: 'held',
  waiting: 'waits',
  skipped: 'stays',
  deleted: 'stopped',
  gone: 'gone',
} as const

function show({ out }: Context, event: DrainEventBody): void {
  if (event.type === 'cordoned') out.note(`${printable(event.node, false)} is cordoned.`)
  if (event.type !== 'pod') return
  const word = WORDS[event.state].padEnd(7)
  const colour = event.state === 'blocked' ? 'yellow' : event.state === 'gone' ? 'green' : 'dim'
  const text = printable(event.text, false)
  out.line(
    `${out.paint(colour, word)} ${printable(event.pod, false)}${text === '' ? '' : `: ${text}`}`,
  )
}

function ended(
  { out }: Context,
  node: string,
  { drained, left }: Extract<DrainEventBody, { type: 'end' }>,
): number {
  if (drained) {
    if (!out.json) out.note(`${node} is drained. \`fairway uncordon ${node}\` opens it again.`)
    return 0
  }
  if (!out.json) {
    out.problem(`${node} is not drained; it stays cordoned. Left:`)
    for (const { pod, text } of left)
      out.problem(`  ${printable(pod, false)}: ${printable(text, false)}`)
  }
  return 5
}
