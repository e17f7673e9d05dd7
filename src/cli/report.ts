import type { Failure } from './failure.ts'
import type { Terminal } from './terminal.ts'
import { printable } from './text-width.ts'

/** Prints a failure: what led to it, what it is, what to do. */
export function report(failure: Failure, out: Terminal): void {
  const { code, message, hint, details, before } = failure
  if (out.json) {
    const diagnosis = before.length === 0 ? {} : { diagnosis: before }
    out.problem(JSON.stringify({ error: { code, message, hint, details, ...diagnosis } }))
    return
  }
  for (const line of before) out.problem(`  ${printable(line, false)}`)
  out.problem(`${out.paint('red', 'error:')} ${message.split('\n').map(plainLine).join('\n')}`)
  if (hint !== '') out.problem(`${out.paint('cyan', 'hint:')}  ${plainLine(hint)}`)
}

function plainLine(text: string): string {
  return printable(text, false)
}
