import type { LogLine } from '../model/runner.ts'

/** One physical line of the CRI log format: `<RFC3339 time> <stream> <F|P> <text>`; P = the line goes on in the next one of its stream. */
export interface CriLine {
  readonly time: number
  readonly stream: LogLine['stream']
  readonly partial: boolean
  readonly text: Buffer
}

const HEAD =
  /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d) (stdout|stderr|platform) ([FP])(?: |$)/

/** A line that does not follow the format is taken as text with the time of its neighbour: nothing that was written is hidden. */
export function parseCriLine(line: Buffer, neighbourTime: number): CriLine {
  const match = HEAD.exec(line.subarray(0, 64).toString('latin1'))
  const [head, second, fraction = '', zone, stream, tag] = match ?? []
  const time = Date.parse(`${second ?? ''}${fraction.slice(0, 4)}${zone ?? ''}`)
  if (head === undefined || Number.isNaN(time))
    return { time: neighbourTime, stream: 'stdout', partial: false, text: line }
  return { time, stream: streamOf(stream), partial: tag === 'P', text: line.subarray(head.length) }
}

/** One physical line to append. Line breaks would start a new one, so they become spaces. */
export function formatCriLine(time: number, stream: LogLine['stream'], text: string): string {
  return `${new Date(time).toISOString()} ${stream} F ${text.replaceAll(/[\r\n]+/g, ' ')}\n`
}

function streamOf(text: string | undefined): LogLine['stream'] {
  return text === 'stderr' || text === 'platform' ? text : 'stdout'
}
