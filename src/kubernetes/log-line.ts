import type { LogLine } from '../model/runner.ts'

/** `2026-01-02T03:04:05.123456789Z text`, as the API gives lines with `timestamps=true`. Its two streams come as one. */
export function parseLogLine(
  text: string,
  pod: { readonly name: string; readonly process: string; readonly release: number },
): LogLine {
  const space = text.indexOf(' ')
  const time = Date.parse(space < 0 ? text : text.slice(0, space))
  const known = !Number.isNaN(time)
  return {
    time: known ? time : 0,
    stream: 'stdout',
    instance: pod.name,
    process: pod.process,
    release: pod.release,
    text: known ? (space < 0 ? '' : text.slice(space + 1)).replace(/\r$/, '') : text,
  }
}
