/** `fairway server`: the control plane. Stateless but for its data folder; killed at any moment, the next one goes on. */
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { createApi } from '../api/api.ts'
import { createIdentity } from '../identity/identity.ts'
import { writeAtomically } from '../lib/atomic-file.ts'
import { systemClock } from '../lib/clock.ts'
import { MachineEngine } from '../machine/engine.ts'
import { defaultHost } from '../machine/table.ts'
import { ReconcilingPlatform } from '../reconcile/platform.ts'
import { createRegistry } from '../registry/registry.ts'
import { connectTraffic } from '../router/control-client.ts'
import { createAppReader } from '../spec/app-reader.ts'
import { openSourceStore } from '../store/source-store.ts'
import { createLogReader } from '../telemetry/log-reader.ts'
import { recordRunning } from './background-program.ts'
import { apiUrl, readConfig } from './config.ts'
import { createDataFolder, dataFolder } from './data-folder.ts'
import { collectSometimes } from './collect-sometimes.ts'
import { lazyBaker } from './lazy-baker.ts'
import { openStore } from './open-store.ts'
import { openTargets } from './open-targets.ts'
import { endOnFailure } from './program-failure.ts'
import { programLog } from './program-log.ts'
import { keepMemoryQuiet } from './quiet-memory.ts'
import { releaseImages } from './release-images.ts'
import { routeUrl } from './route-url.ts'
import { chooseRunner } from './runner-choice.ts'
import { untilTold } from './until-told.ts'
import { packageVersion } from './version.ts'

const config = readConfig()
const folder = dataFolder(config.dataDir)
const log = programLog('server', config.logLevel)
endOnFailure(log, config)
const clock = systemClock
const randomId = (): string => randomBytes(4).toString('hex')

await createDataFolder(folder)
const { store, close: closeStore } = await openStore({ config, folder, clock, log })
const graceMs = config.collectGraceMinutes * 60_000
const sources = await openSourceStore({ root: folder.sources, clock, limits: { graceMs } })
const { runner, sandbox, images } = await chooseRunner({ config, folder, clock, log })
const identity = createIdentity({
  store,
  clock,
  randomBytes,
  claimed: () => rm(folder.claimFile, { force: true }),
})
const files = createLogReader({ logDir: folder.logs, clock })
const traffic = connectTraffic(folder.routerSocket)
const machine = new MachineEngine({ runner, traffic, logs: files, clock, log, randomId })
const { engine, logs, targets } = openTargets({
  store,
  machine: { engine: machine, logs: files },
  identity,
  clock,
  log,
  randomId,
  defaultHost,
})
const baker = lazyBaker(async () => {
  const { openKitchen } = await import('./kitchen.ts')
  return openKitchen({ config, images, sandbox, folder, clock, log })
})
const platform = new ReconcilingPlatform(
  {
    store,
    engine,
    baker,
    sources,
    images: releaseImages({ images, store, clock, root: folder.root }),
    logs,
    reader: createAppReader(),
    clock,
    log,
    randomId,
    urlOf: routeUrl(config),
    defaultHost,
  },
  {
    releasesKept: config.releasesKept,
    graceMs,
    logsKeptMs: config.logsKeptDays * 86_400_000,
  },
)
// Who may is asked in front of it, where the API mounts it.
const registry = createRegistry({
  images,
  authorize: () => Promise.resolve('ok'),
  randomId: () => randomBytes(18).toString('hex'),
  log,
})
const api = createApi({
  platform,
  sources,
  identity,
  targets,
  registry: registry.handle,
  info: { version: packageVersion(), engine: engine.name, runner: runner.name },
  hosts: config.hostNames,
  log,
})

await platform.open()
await publishClaim()
await api.listen(config.api)
await recordRunning(
  { name: 'server', folder: folder.programs },
  { urls: [apiUrl(config)], runner: runner.name },
)
log.info({ api: config.api, runner: runner.name, dataDir: config.dataDir }, 'server answers')
const collecting = collectSometimes(platform, clock, log)
const quiet = new AbortController()
void keepMemoryQuiet({ clock }, quiet.signal)
await untilTold()
quiet.abort()
log.info({}, 'server stops')
collecting.abort()
await api.close()
await registry.close()
await platform.close()
await engine.close()
await closeStore()

/** Who can read the file owns the machine: the first `fairway up` logs its user in with it. */
async function publishClaim(): Promise<void> {
  const code = await identity.openClaim()
  if (code === null) await rm(folder.claimFile, { force: true })
  else await writeAtomically(folder.claimFile, code)
}
