import type { LogReader } from '../model/logs.ts'
import type { Runner } from '../model/runner.ts'
import type { Tracked } from './tracked.ts'

const LINES = 12
const MAX_TEXT = 600

/** What a person needs to see when a copy does not become ready: how it ended or what it answered, memory, its last lines. Never throws. */
export async function diagnose(
  tracked: Tracked,
  runner: Runner,
  logs: LogReader,
): Promise<readonly string[]> {
  const { spec, reason } = tracked
  const [usage, lines] = await Promise.all([
    runner.usage(spec.id).catch(() => null),
    logs.tail(spec.ref, spec.id, LINES).catch(() => []),
  ])
  const output = lines.filter(({ stream }) => stream !== 'platform')
  return [
    `${spec.process} (${spec.id}): ${shortened(reason)}`,
    `command: ${shortened(spec.argv.join(' '))}`,
    ...(usage === null
      ? []
      : [`memory: ${mebibytes(usage.memoryBytes)} of ${mebibytes(spec.resources.memory)}`]),
    ...(output.length === 0
      ? ['it printed nothing']
      : ['last lines:', ...output.map(({ text }) => `  ${text}`)]),
  ]
}

function shortened(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
}

function mebibytes(bytes: number): string {
  return `${String(Math.round(bytes / 1_048_576))} MiB`
}
