import { FairwayError } from '../model/errors.ts'
import { connectTraffic } from '../router/control-client.ts'
import { runningProgram } from './background-program.ts'
import type { DataFolder } from './data-folder.ts'

/**
 * Two routers of one data folder would take the control socket from each other, and deploys would wait for the one that lost it. Known by its pid
 * file also where it hangs, and by its socket also where the file is lost.
 * @throws FairwayError CONFLICT where another one runs
 */
export async function refuseSecondRouter(folder: DataFolder): Promise<void> {
  const recorded = await runningProgram({ name: 'router', folder: folder.programs })
  const pid = recorded?.pid ?? (await answeringRouter(folder.routerSocket))
  if (pid === null || pid === process.pid) return
  throw new FairwayError(
    'CONFLICT',
    `another router (process ${String(pid)}) already serves this data directory`,
    {
      hint: `\`fairway up --restart\` replaces it without losing requests; where it does not answer any more, end it with \`kill ${String(pid)}\`.`,
    },
  )
}

async function answeringRouter(socket: string): Promise<number | null> {
  try {
    return (await connectTraffic(socket).status()).pid
  } catch (error) {
    if (error instanceof FairwayError && error.code === 'ROUTER_UNAVAILABLE') return null
    throw error
  }
}
