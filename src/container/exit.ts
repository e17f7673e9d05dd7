import { identify } from '../lib/process-identity.ts'
import { signalName } from '../lib/signal-name.ts'
import type { Clock } from '../model/clock.ts'
import type { ExitFacts } from '../model/instance.ts'
import type { Cgroup } from './cgroup.ts'
import type { InstanceFolder } from './instance-folder.ts'

export interface ExitLook {
  readonly folder: InstanceFolder
  readonly cgroup: Cgroup
  readonly clock: Clock
}

/** How an instance ended, from what conmon wrote; stored, since its cgroup may be gone when next asked. Null before its end. */
export async function judgeExit({ folder, cgroup, clock }: ExitLook): Promise<ExitFacts | null> {
  const status = await folder.exitCode()
  if (status === null) return null
  const oom = status !== 0 && (await cgroup.oomKills()) > 0
  const stopped = await folder.stopSignal()
  const killed = status > 128 && status <= 128 + 64
  const exit: ExitFacts = {
    code: killed ? null : status,
    signal: killed ? (stopped ?? signalName(status - 128)) : null,
    reason: oom ? 'oom' : killed ? 'killed' : 'exited',
    at: clock.now(),
  }
  await folder.saveExit(exit)
  return exit
}

/** conmon writes its file a moment after the end, which is longer where much else runs; one that does nothing any more is not waited for much longer. */
const WRITES_TRIES = 500
const WRITES_MS = 10

/** Ended without a word: conmon was killed, or the host restarted. While conmon is there it may be about to write: look again. */
export async function lostExit(look: ExitLook, ran: boolean): Promise<ExitFacts> {
  const { folder, clock } = look
  const monitor = await folder.pid(folder.conmonPid)
  if (ran && monitor !== null) {
    for (let tries = 0; tries < WRITES_TRIES && (await identify(monitor)) !== null; tries++) {
      await clock.sleep(WRITES_MS)
      const exit = await judgeExit(look)
      if (exit !== null) return exit
    }
  }
  const exit = await judgeExit(look)
  if (exit !== null) return exit
  const unknown: ExitFacts = { code: null, signal: null, reason: 'unknown', at: clock.now() }
  if (ran) await folder.saveExit(unknown)
  return unknown
}
