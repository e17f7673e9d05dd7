import { setTimeout as sleepFor } from 'node:timers/promises'

/** The real clock; shape of the `Clock` port in model/. */
export const systemClock = {
  now: (): number => Date.now(),
  elapsed: (): number => performance.now(),
  sleep: async (ms: number, signal?: AbortSignal): Promise<void> => {
    await sleepFor(ms, undefined, signal === undefined ? {} : { signal })
  },
}
