import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { Platform } from '../model/platform.ts'

const FIRST_MS = 10 * 60_000
const EVERY_MS = 6 * 3_600_000

/** Garbage collection in the background, a while after the start and then every few hours. */
export function collectSometimes(
  platform: Pick<Platform, 'collect'>,
  clock: Clock,
  log: Log,
): AbortController {
  const stop = new AbortController()
  const loop = async (): Promise<void> => {
    await clock.sleep(FIRST_MS, stop.signal)
    while (!stop.signal.aborted) {
      try {
        log.info(await platform.collect(), 'garbage collected')
      } catch (error) {
        log.error({ error: String(error) }, 'garbage collection failed')
      }
      await clock.sleep(EVERY_MS, stop.signal)
    }
  }
  loop().catch((error: unknown) => {
    if (!stop.signal.aborted) log.error({ error: String(error) }, 'garbage collection stopped')
  })
  return stop
}
