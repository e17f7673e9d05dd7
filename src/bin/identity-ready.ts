/** Startup probe of identity-keeper.ts: ends when the app beside it may begin, which is sooner than at whole seconds, and without failed probes among the events. */
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { WORKLOAD_SOCKET } from '../model/secrets.ts'
import { given } from './server-call.ts'

/** A little less than the probe is given. */
const PATIENCE_MS = 8_000
const PAUSE_MS = 20

const socket = join(given('FAIRWAY_IDENTITY'), WORKLOAD_SOCKET)
process.exitCode = (await comes()) ? 0 : 1

async function comes(): Promise<boolean> {
  const end = Date.now() + PATIENCE_MS
  while (Date.now() < end) {
    const isThere = await access(socket).then(
      () => true,
      () => false,
    )
    if (isThere) return true
    await sleep(PAUSE_MS)
  }
  return false
}
