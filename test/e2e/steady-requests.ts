import assert from 'node:assert/strict'
import { fetchText } from '../../bench/load.ts'

const EVERY_MS = 20

/** Runs `task` while a GET is sent every 20 ms, each on a connection of its own; every one of them must be answered with 200. */
export async function losingNoRequest(
  { port, host }: { readonly port: number; readonly host: string },
  task: () => Promise<void>,
): Promise<void> {
  const failures: string[] = []
  const running = new Set<Promise<void>>()
  let sent = 0
  const timer = setInterval(() => {
    sent += 1
    const work = fetchText({ port, host, path: '/', agent: false, body: null })
      .then(
        () => undefined,
        (error: unknown) => void failures.push(`${new Date().toISOString()} ${String(error)}`),
      )
      .finally(() => running.delete(work))
    running.add(work)
  }, EVERY_MS)
  try {
    await task()
  } finally {
    clearInterval(timer)
    await Promise.all(running)
  }
  assert.deepEqual(failures, [])
  assert.ok(sent > 5, `only ${String(sent)} requests`)
}
