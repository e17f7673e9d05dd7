import { constants } from 'node:os'

/** 'SIGTERM' for 'SIGTERM', 'TERM' or 15. Unknown ones are SIGKILL: whatever was meant, it has to end. */
export function signalName(signal: string | number): NodeJS.Signals {
  const names = Object.entries(constants.signals) as [NodeJS.Signals, number][]
  const wanted = typeof signal === 'string' && !signal.startsWith('SIG') ? `SIG${signal}` : signal
  return names.find(([name, number]) => name === wanted || number === wanted)?.[0] ?? 'SIGKILL'
}
