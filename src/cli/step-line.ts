import { secondsText } from './quantity.ts'
import type { Terminal } from './terminal.ts'
import { printable } from './text-width.ts'

export type StepMark = 'done' | 'failed' | 'running'

/** One step of a deploy: `✓ bake      0.12 s  3 layers, 1 new, 12 kB`. Columns are fixed, so that steps line up as they appear. */
export function stepLine(
  out: Terminal,
  mark: StepMark,
  name: string,
  ms: number,
  summary: string,
): string {
  const sign =
    mark === 'done'
      ? out.paint('green', '✓')
      : mark === 'failed'
        ? out.paint('red', '✗')
        : out.paint('cyan', '•')
  const time = out.paint('dim', secondsText(ms).padStart(7))
  return `${sign} ${name.padEnd(8)} ${time}  ${printable(summary, false)}`.trimEnd()
}
