import type { LogLineBody } from '../../contract/log-line.ts'
import type { LogsQuery } from '../../client/fairway-client.ts'
import { parseProcessName } from '../../model/names.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { sinceMs } from '../quantity.ts'
import type { Colour, Terminal } from '../terminal.ts'
import { printable } from '../text-width.ts'

const DEFAULT_LINES = 100
const PROCESS_COLOURS: readonly Colour[] = ['cyan', 'green', 'yellow', 'bold']

export const logs: Command = {
  name: 'logs',
  summary: 'print what the instances of an app wrote',
  usage: '',
  details: [
    'Lines of all instances in order of time, with those of the platform itself (restarts, out of memory). --grep is a plain, case-sensitive piece of text.',
  ],
  examples: [
    'fairway logs -f',
    'fairway logs -n 500 --since 10m --grep timeout --process web --app shop',
    'fairway logs --json --since 2026-01-31T08:00:00Z',
  ],
  options: [
    { name: 'follow', short: 'f', summary: 'go on with later lines, until Ctrl-C' },
    { name: 'lines', short: 'n', value: 'N', summary: 'the last N matching lines (default: 100)' },
    {
      name: 'since',
      value: 'TIME',
      summary: 'not older than 90s, 10m, 2h, 1d, or an RFC 3339 time',
    },
    { name: 'grep', value: 'TEXT', summary: 'only lines that contain TEXT' },
    { name: 'process', short: 'p', value: 'NAME', summary: 'only this process' },
    { name: 'instance', value: 'ID', summary: 'only this instance' },
    { name: 'raw', summary: 'only the text, as it was written' },
  ],
  positionals: { min: 0, max: 0 },
  run,
}

async function run(context: Context): Promise<number> {
  const { io, out, args } = context
  const query = queryOf(context)
  const client = context.client()
  const ref = await context.ref()
  const controller = new AbortController()
  const stopListening = io.onInterrupt(() => {
    controller.abort()
  })
  try {
    for await (const line of client.logs(ref, query, controller.signal)) {
      if (out.json) out.object(line)
      else out.line(args.flag('raw') ? line.text : logLine(line, out))
    }
    return 0
  } catch (error) {
    if (controller.signal.aborted) return 0
    throw error
  } finally {
    stopListening()
  }
}

/** One line for people: local time, process and instance, text; lines are not cut, so that nothing of a message is lost. */
export function logLine(line: LogLineBody, out: Terminal): string {
  const colour =
    line.stream === 'platform' ? 'yellow' : (PROCESS_COLOURS[sum(line.instance) % 4] ?? 'cyan')
  const time = out.paint('dim', timeText(line.time))
  return `${time} ${out.paint(colour, line.instance)} ${printable(line.text, out.isTTY)}`
}

function queryOf({ args, now }: Context): LogsQuery {
  const since = args.value('since')
  const process = args.value('process')
  const instance = args.value('instance')
  const grep = args.value('grep')
  return {
    limit: args.integer('lines', 0) ?? DEFAULT_LINES,
    ...(args.flag('follow') ? { follow: true } : {}),
    ...(since === undefined ? {} : { since: sinceMs(since, now) }),
    ...(process === undefined ? {} : { process: parseProcessName(process) }),
    ...(instance === undefined ? {} : { instance }),
    ...(grep === undefined ? {} : { grep }),
  }
}

/** 'HH:MM:SS.mmm' of today’s reader: the local time zone. */
function timeText(time: number): string {
  const date = new Date(time)
  const two = (value: number): string => String(value).padStart(2, '0')
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

function sum(text: string): number {
  let total = 0
  for (const character of text) total += character.codePointAt(0) ?? 0
  return total
}
