import { constants } from 'node:os'
import { readProc } from '../lib/process-identity.ts'

/**
 * True where the process neither handles nor ignores the signal. pid 1 of a pid namespace is then not ended by it, unlike any
 * other process (pid_namespaces(7)), and a program that was never meant to be pid 1 would sit out its whole grace period.
 */
export async function endsByDefault(pid: number, signal: NodeJS.Signals): Promise<boolean> {
  const status = await readProc(pid, 'status')
  if (status === null) return false
  const bit = 1n << BigInt(constants.signals[signal] - 1)
  const mask = (name: string): bigint =>
    BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)`, 'm').exec(status)?.[1] ?? '0'}`)
  return ((mask('SigCgt') | mask('SigIgn') | mask('SigBlk')) & bit) === 0n
}
