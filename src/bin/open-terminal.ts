import { openSync } from 'node:fs'
import { ReadStream, WriteStream } from 'node:tty'
import type { CliTerminal } from '../cli/io.ts'

/** The terminal that this process belongs to; null where it belongs to none (a timer, a CI job). */
export function openTerminal(): CliTerminal | null {
  const reading = openIfThere('r')
  const writing = reading === null ? null : openIfThere('w')
  if (reading === null || writing === null) return null
  const input = new ReadStream(reading)
  const output = new WriteStream(writing)
  return {
    input,
    output,
    close: () => {
      input.destroy()
      output.destroy()
    },
  }
}

function openIfThere(flags: 'r' | 'w'): number | null {
  try {
    return openSync('/dev/tty', flags)
  } catch {
    // ENXIO without a terminal; whatever else the reason, nobody can be asked.
    return null
  }
}
