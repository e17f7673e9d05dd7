import { setTimeout as sleep } from 'node:timers/promises'

/** Waits for a condition. @throws after `ms`, naming what did not come true */
export async function until(what: string, condition: () => boolean, ms = 30_000): Promise<void> {
  const end = Date.now() + ms
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await sleep(5)
  }
}
