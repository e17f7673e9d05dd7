import pino from 'pino'
import type { Log } from '../lib/log.ts'

/** The log of a program of ours: one JSON line per event on standard output, which `fairway up` sends to a file. */
export function programLog(name: string, level: string): Log {
  return pino({ name, level, base: { name }, timestamp: pino.stdTimeFunctions.isoTime })
}
