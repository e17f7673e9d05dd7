/** `fairway server`: the control plane. Stateless but for its data folder; killed at any moment, the next one goes on. */
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { createApi } from '../api/api.ts'
import { createAccessRules } from '../identity/access-rules.ts'
import { createIdentity } from '../identity/identity.ts'
import { writeAtomically } from '../lib/atomic-file.ts'
import { systemClock } from '../lib/clock.ts'
import { MachineEngine } from '../machine/engine.ts'
import { defaultHost } from '../machine/table.ts'
import { ReconcilingPlatform } from '../reconcile/platform.ts'
import { TargetIdentities } from '../reconcile/target-identities.ts'
import { TargetSecrets } from '../reconcile/target-secrets.ts'
import { connectTraffic } from '../router/control-client.ts'
import { createAppReader } from '../spec/app-reader.ts'
import { StoredEnvironmentKeys } from '../secrets/environment-keys.ts'
import { GeneratedValues } from '../secrets/generated-values.ts'
import { StoredEnvironmentValues } from '../secrets/environment-values.ts'
import { SopsReleaseSecrets } from '../secrets/release-secrets.ts'
import { openSourceStore } from '../store/source-store.ts'
import { createLogReader } from '../telemetry/log-reader.ts'
import { auditedSecrets } from './audited-secrets.ts'
import { recordRunning } from './background-program.ts'
import { apiUrl, readConfig } from './config.ts'
import { createDataFolder, dataFolder } from './data-folder.ts'
import { collectSometimes } from './collect-sometimes.ts'
import { lazyAccess } from './lazy-access.ts'
import { lazyBaker, lazyInstaller } from './lazy-baker.ts'
import { openAudit } from './open-audit.ts'
import { openDocumentKeys } from './open-document-keys.ts'
import { openIdentities } from './open-identities.ts'
import { openLogin, publicUrl } from './open-login.ts'
import { openStore } from './open-store.ts'
import { once } from './once.ts'
import { openTargets, ownerOf } from './open-targets.ts'
import { openVault } from './open-vault.ts'
import { endOnFailure } from './program-failure.ts'
import { PausableBaker } from './pausable-baker.ts'
import { programLog } from './program-log.ts'
import { pruneCache } from './prune-cache.ts'
import { keepMemoryQuiet } from './quiet-memory.ts'
import { releaseImages } from './release-images.ts'
import { routeUrl } from './route-url.ts'
import { scopedRegistry } from './scoped-registry.ts'
import { chooseRunner } from './runner-choice.ts'
import { serverKey } from './server-key.ts'
import { untilTold } from './until-told.ts'
import { packageVersion } from './version.ts'

const config = readConfig()
const folder = dataFolder(config.dataDir)
const log = programLog('server', config.logLevel)
endOnFailure(log, config)
const clock = systemClock
const randomId = (): string => randomBytes(4).toString('hex')

await createDataFolder(folder)
const home =
  config.home === null ? null : await (await import('./home.ts')).openHome(config.home, clock)
const leaveEarly = (): never => process.exit(0)
if (home !== null) process.once('SIGTERM', leaveEarly)
const { store, close: closeStore } = await openStore({
  config,
  folder,
  clock,
  log,
  standsBy: () => home?.health.set('standby'),
})
process.off('SIGTERM', leaveEarly)
await home?.register(store)
const audit = await openAudit({ store: store.audit, config, folder, clock, log })
const graceMs = config.collectGraceMinutes * 60_000
const cacheLimits = {
  keptMs: config.cacheKeptDays * 86_400_000,
  maxBytes: config.cacheMaxMegabytes * 1e6,
  graceMs,
}
const sources = await openSourceStore({ root: folder.sources, clock, limits: { graceMs } })
const identity = createIdentity({
  store,
  clock,
  randomBytes,
  claimed: () => showClaim(null),
  sessions: { authenticate: (token) => sessions.authenticate(token) },
})
const { login, sessions } = await openLogin({
  config,
  folder,
  store: store.users,
  clock,
  log,
  audit,
  grantsFor: (person) => identity.grantsFor(person),
})
// One, also where two ask for the first.
const installationKey = once(() => serverKey(config, folder))
const own = new StoredEnvironmentKeys({
  store,
  serverKey: installationKey,
  now: () => clock.now(),
  random: randomBytes,
})
const values = new StoredEnvironmentValues({
  store: store.values,
  keys: own,
  now: () => clock.now(),
  random: randomBytes,
})
const vault = await openVault({ config: config.vault, values, clock, log })
const keys = openDocumentKeys({ config: config.keys, own, transit: vault, clock })
const generated = new GeneratedValues(values, randomBytes)
const secrets = new SopsReleaseSecrets(keys, {
  sources: [generated, ...(vault === null ? [] : [vault])],
  values,
})
const files = createLogReader({ logDir: folder.logs, clock })
const given = config.home?.owner ?? ''
const owner = (): Promise<string> => ownerOf({ store, randomId, given })
const authority = await openIdentities({
  config,
  folder,
  store,
  serverKey: installationKey,
  clock,
  log,
  owner,
})
const { sandbox, images, machine, runner } =
  home === null ? await openMachine() : await home.open({ folder, log })
const { engine, logs, targets, manifests, nodes, doors, instancesOf, targetOf } = openTargets({
  store,
  machine: { engine: machine, logs: files },
  identity,
  clock,
  log,
  randomId,
  given,
  defaultHost,
  serverKey: installationKey,
  podDoor: {
    config,
    access: () => kube.point(),
    values: auditedSecrets(secrets, audit),
    image: async (target) => {
      const { helperImage } = await import('./helper-image.ts')
      return helperImage({ config, images, sandbox, folder, clock, log, store }, target)
    },
  },
  ...(home === null ? {} : { inCluster: home.inCluster }),
})
const baker = new PausableBaker(
  lazyBaker(async () => {
    const { openKitchen } = await import('./kitchen.ts')
    return openKitchen({ config, images, sandbox, folder, clock, log })
  }),
)
const platform = new ReconcilingPlatform(
  {
    store,
    engine,
    baker,
    sources,
    images: releaseImages({
      images,
      store,
      clock,
      root: folder.root,
      ...(home === null ? {} : { home: home.releases }),
      pruneCache: () => baker.whileIdle(() => pruneCache(folder.cache, cacheLimits, clock.now())),
    }),
    logs,
    audit,
    secrets,
    keys,
    generated,
    reader: home === null ? createAppReader() : home.reader(createAppReader()),
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
const registry = scopedRegistry({
  images,
  randomId: () => randomBytes(18).toString('hex'),
  log,
})
const kube = lazyAccess({
  load: async () => (await import('./open-access.ts')).openAccess,
  options: {
    config,
    folder: folder.access,
    store,
    identity,
    sessions,
    clock,
    log,
    audit,
    owner,
    doors,
    targetOf,
    secrets: new TargetSecrets({ instances: instancesOf, secrets, audit, store, clock }),
    identities: new TargetIdentities({
      instances: instancesOf,
      signer: authority.signer,
      audit,
      store,
    }),
  },
})
const api = createApi({
  platform,
  sources,
  identity,
  audit,
  login,
  users: sessions,
  accessRules: createAccessRules({ store, rules: identity.rules, clock, randomId }),
  targets,
  manifests,
  nodes,
  identities: authority.identities,
  access: kube.access,
  installer: lazyInstaller(async () => {
    const { createInstaller } = await import('./install.ts')
    return createInstaller({ config, images, sandbox, folder, clock, log, store, owner })
  }),
  registry: registry.handle,
  info: { version: packageVersion(), engine: engine.name, runner },
  hosts: [...config.hostNames, new URL(publicUrl(config)).hostname],
  secure: publicUrl(config).startsWith('https:'),
  log,
})

await platform.open()
await publishClaim()
// Whoever hears that the server answers may go to a cluster at once.
if ((await store.listTargets()).length > 0) await kube.open()
await api.listen(config.api)
await recordRunning({ name: 'server', folder: folder.programs }, { urls: [apiUrl(config)], runner })
log.info({ api: config.api, runner, dataDir: config.dataDir }, 'server answers')
await home?.lead()
const collecting = collectSometimes(platform, clock, log)
const quiet = new AbortController()
void keepMemoryQuiet({ clock }, quiet.signal)
await untilTold()
quiet.abort()
log.info({}, 'server stops')
await home?.leave()
collecting.abort()
await api.close()
await kube.close()
await registry.close()
await platform.close()
await vault?.close()
await engine.close()
await authority.close()
await audit.close()
await closeStore()
await home?.close()

async function openMachine() {
  const { runner: plain, sandbox, images } = await chooseRunner({ config, folder, clock, log })
  const runner = await authority.identified(plain)
  const traffic = connectTraffic(folder.routerSocket)
  const machine = new MachineEngine({
    runner,
    traffic,
    logs: files,
    secrets: auditedSecrets(secrets, audit),
    clock,
    log,
    randomId,
  })
  return { sandbox, images, machine, runner: runner.name }
}

async function publishClaim(): Promise<void> {
  await showClaim(await identity.openClaim())
}

/** Who can read the file owns the machine: the first `fairway up` logs its user in with it. In a cluster it is a Secret. */
async function showClaim(code: string | null): Promise<void> {
  if (home !== null) await home.pod.publishClaim(code)
  else if (code === null) await rm(folder.claimFile, { force: true })
  else await writeAtomically(folder.claimFile, code)
}
