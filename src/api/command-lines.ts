import type { z } from 'zod'
import type { logLine, runEvent } from '../contract/log-line.ts'
import type { LogLine } from '../model/runner.ts'
import { LineQueue } from './line-queue.ts'
import { logLineView } from './view.ts'

/** Lines that may wait for a slow reader. */
const MOST_LINES = 10_000

/** Runs a command and streams what it prints, at last how it ended. The command ends when nobody reads any more. */
export async function* commandLines(
  run: (
    onLine: (line: LogLine) => void,
    signal: AbortSignal,
  ) => Promise<{ readonly code: number | null; readonly reason: string }>,
  signal: AbortSignal,
): AsyncGenerator<z.input<typeof runEvent>> {
  const stop = new AbortController()
  const queue = new LineQueue<LogLine>(MOST_LINES)
  const result = run((line) => queue.push(line), AbortSignal.any([signal, stop.signal])).finally(
    () => queue.end(),
  )
  // Awaited below; a failure while lines are still being sent is not an unhandled one.
  result.catch(() => undefined)
  try {
    for await (const { value, dropped } of queue.read()) {
      if (dropped > 0) yield { type: 'line', line: droppedNote(value, dropped) }
      yield { type: 'line', line: logLineView(value) }
    }
    const { code, reason } = await result
    yield { type: 'exit', code, reason }
  } finally {
    stop.abort()
  }
}

function droppedNote(next: LogLine, dropped: number): z.input<typeof logLine> {
  return {
    ...logLineView(next),
    stream: 'platform',
    text: `${dropped} lines dropped, the reader was too slow`,
  }
}
