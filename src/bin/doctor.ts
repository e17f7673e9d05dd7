import { ContainerDoctor } from '../container/doctor.ts'
import { systemClock } from '../lib/clock.ts'
import type { HostDoctor } from '../model/host.ts'
import { readConfig } from './config.ts'
import { platformPrograms } from './platform-programs.ts'

/** The checks of this machine for the platform that the environment configures. */
export function hostDoctor(): HostDoctor {
  const { dataDir, api, http, https, subnet } = readConfig()
  const ports = [api.port, http.port, ...(https === null ? [] : [https.port])]
  return new ContainerDoctor({
    dataDir,
    clock: systemClock,
    ports,
    subnet,
    isOurs: async (port) => {
      const { server, router } = await platformPrograms.status({ dataDir })
      return (port === api.port ? server : router).state === 'running'
    },
  })
}
