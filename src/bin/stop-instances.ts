import { ContainerRunner } from '../container/container-runner.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import type { Config } from './config.ts'
import type { DataFolder } from './data-folder.ts'
import { chooseRunner } from './runner-choice.ts'

/** Ends every instance of this data folder while no server runs, and removes their network; returns how many there were. */
export async function stopAllInstances(config: Config, folder: DataFolder): Promise<number> {
  const { runner } = await chooseRunner({ config, folder, clock: systemClock, log: silentLog })
  await runner.open()
  const found = await runner.list()
  await Promise.all(
    found.map(async ({ spec }) => {
      await runner.stop(spec.id, { signal: spec.shutdown.signal, graceMs: spec.shutdown.stopMs })
      await runner.remove(spec.id)
    }),
  )
  if (runner instanceof ContainerRunner) await runner.teardown()
  else await runner.close()
  return found.length
}
