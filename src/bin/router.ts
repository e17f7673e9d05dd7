/** `fairway router`: the data plane. Serves its last table whether the server runs or not. */
import { mkdir } from 'node:fs/promises'
import { systemClock } from '../lib/clock.ts'
import { startRouter } from '../router/router.ts'
import { recordRunning } from './background-program.ts'
import { readConfig, routerUrls } from './config.ts'
import { createDataFolder, dataFolder } from './data-folder.ts'
import { gatewayOf } from './gateway.ts'
import { refuseSecondRouter } from './only-router.ts'
import { endOnFailure } from './program-failure.ts'
import { programLog } from './program-log.ts'
import { keepMemoryQuiet } from './quiet-memory.ts'
import { channelToPredecessor, inheritedSockets, startSuccessor } from './successor.ts'
import { untilTold } from './until-told.ts'

const config = readConfig()
const folder = dataFolder(config.dataDir)
const log = programLog('router', config.logLevel)
endOnFailure(log, config)
await createDataFolder(folder)
const inherited = inheritedSockets(process.argv)
if (inherited === null) await refuseSecondRouter(folder)
await mkdir(folder.router, { recursive: true, mode: 0o700 })
const gateway = gatewayOf(config.subnet)
const inside = config.runner === 'process' || process.getuid?.() !== 0 ? null : gateway
const { certificates } = config
const router = await startRouter({
  stateDir: folder.router,
  controlSocket: folder.routerSocket,
  http: config.http,
  https:
    config.https === null
      ? null
      : {
          ...config.https,
          ...(certificates === null
            ? {}
            : { files: { certificate: certificates.certFile, key: certificates.keyFile } }),
        },
  internal: inside === null ? null : { host: inside, port: 80 },
  dns: inside === null ? null : { host: inside, port: 53 },
  inherited: inherited ?? new Map(),
  predecessor: inherited === null ? null : channelToPredecessor(),
  startSuccessor,
  log,
})
await recordRunning(
  { name: 'router', folder: folder.programs },
  { urls: routerUrls(config), runner: null },
)
log.info({ addresses: router.addresses }, 'router serves')
const quiet = new AbortController()
void keepMemoryQuiet({ clock: systemClock }, quiet.signal)
await Promise.race([untilTold(), router.succeeded])
quiet.abort()
log.info({}, 'router stops')
await router.close()
