import pino from 'pino'
import type { Log } from '../lib/log.ts'

/** Lines that wait for room on the disk, in bytes; what comes beyond is dropped. */
const WAITING_BYTES = 1024 * 1024

/** The log of a program of ours: one JSON line per event on standard output, which `fairway up` sends to a file. */
export function programLog(name: string, level: string): Log {
  const output = pino.destination({ dest: 1, sync: true, maxLength: WAITING_BYTES })
  // A log that cannot be written, as on a full disk, must not end what it tells of. Lines are tried again with the next one.
  output.on('error', () => undefined)
  return pino({ name, level, base: { name }, timestamp: pino.stdTimeFunctions.isoTime }, output)
}
