import { ContainerDoctor } from '../container/doctor.ts'
import { systemClock } from '../lib/clock.ts'
import type { HostDoctor } from '../model/host.ts'
import { readConfig } from './config.ts'
import { withKeyChecks } from './key-doctor.ts'
import { platformPrograms } from './platform-programs.ts'

/** The checks of this machine for the platform that the environment configures. */
export function hostDoctor(): HostDoctor {
  const config = readConfig()
  const { dataDir, api, http, https, subnet } = config
  const ports = [api.port, http.port, ...(https === null ? [] : [https.port])]
  const container = new ContainerDoctor({
    dataDir,
    clock: systemClock,
    ports,
    subnet,
    isOurs: async (port) => {
      const { server, router } = await platformPrograms.status({ dataDir })
      return (port === api.port ? server : router).state === 'running'
    },
  })
  return withKeyChecks(container, config)
}
