/** `fairway install`: this very program, as an image, on one of its targets. Loaded when somebody asks for it. */
import { randomBytes } from 'node:crypto'
import { createKitchen } from '../bake/baker.ts'
import { bakePlatform, bakePostgres } from '../bake/platform-image.ts'
import { ClusterClient } from '../kubernetes/cluster-client.ts'
import { readKubeconfig } from '../kubernetes/kubeconfig.ts'
import { toYaml } from '../kubernetes/object.ts'
import type { PlatformPackages } from '../kubernetes/plan-platform-packages.ts'
import { planPlatform, type PlatformKeys, type PlatformPlan } from '../kubernetes/plan-platform.ts'
import { ownDatabaseUrl, POSTGRES } from '../kubernetes/plan-platform-postgres.ts'
import { REGISTRY, REGISTRY_PORT, REGISTRY_USER } from '../kubernetes/plan-platform-registry.ts'
import {
  GIVEN,
  GIVEN_FILES,
  KEY_FILES,
  KEYS,
  OWNER_KEY,
} from '../kubernetes/plan-platform-settings.ts'
import { PlatformInstaller } from '../kubernetes/platform-installer.ts'
import { removePlatform } from '../kubernetes/platform-removal.ts'
import { FairwayError } from '../model/errors.ts'
import type { Clock } from '../model/clock.ts'
import type {
  Installed,
  Installer,
  InstallRequest,
  PlatformRemains,
  PlatformSettings,
  UninstallRequest,
} from '../model/installer.ts'
import type { Store, TargetRecord } from '../model/store.ts'
import type { TargetRegistry } from '../model/targets.ts'
import type { Digest } from '../model/release.ts'
import { registryOf, registrySettings } from '../reconcile/target-registry.ts'
import { LocalAuthority } from '../router/local-authority.ts'
import { pullSecret } from './clusters.ts'
import { environment } from './environment.ts'
import { checkedSettings } from './install-settings.ts'
import { bakerOptions, type KitchenOptions } from './kitchen.ts'
import { packageSettings } from './package-settings.ts'
import { platformFiles } from './platform-files.ts'
import { pushImage } from './release-images.ts'
import { packageVersion } from './version.ts'

export interface InstallerOptions extends KitchenOptions {
  readonly store: Pick<Store, 'getTarget'>
  /** Name of this installation. */
  readonly owner: () => Promise<string>
}

const READY_MS = 300_000
const SERVER = 'fairway-server'

export function createInstaller(options: InstallerOptions): Installer {
  return {
    install: (request, signal) => install(options, request, signal),
    uninstall: (request) => uninstall(options, request),
  }
}

async function install(
  options: InstallerOptions,
  request: InstallRequest,
  signal: AbortSignal,
): Promise<Installed> {
  const { store, clock, log } = options
  const target = await store.getTarget(request.target)
  if (target === null) throw new FairwayError('NOT_FOUND', `there is no target ${request.target}`)
  const registry = registryOf(target.settings)
  if (registry === null) throw noRegistry(request.target)
  const client = clientOf(target, clock)
  try {
    const installer = new PlatformInstaller({ client, clock, installer: await options.owner() })
    const baked = await bake(options, request, signal)
    const packages = await packageSettings(request, { env: environment, log })
    const plan = await planOf({
      owner: options.owner,
      request,
      registry,
      installer,
      baked,
      packages,
      clock,
    })
    const manifests = toYaml(planPlatform(plan))
    const done = { manifests, image: plan.image, notes: notesOf(plan) }
    if (request.dryRun) return { ...done, active: null, claim: null }
    await deliver(options, registry, baked)
    await installer.apply(planPlatform(plan))
    log.info({ target: request.target, image: plan.image }, 'control plane applied')
    const active = await installer.active(request.namespace, READY_MS, signal)
    return { ...done, active: active.pod, claim: active.claim }
  } finally {
    await client.close()
  }
}

async function uninstall(
  { store, clock, log, owner }: InstallerOptions,
  { target: name, ...request }: UninstallRequest,
): Promise<PlatformRemains> {
  const target = await store.getTarget(name)
  if (target === null) throw new FairwayError('NOT_FOUND', `there is no target ${name}`)
  const client = clientOf(target, clock)
  try {
    const done = await removePlatform({ client, installer: await owner(), ...request })
    if (!request.dryRun) log.info({ target: name, ...done }, 'control plane removed')
    return done
  } finally {
    await client.close()
  }
}

function clientOf({ kubeconfig, context }: TargetRecord, clock: Clock): ClusterClient {
  return new ClusterClient({
    connection: readKubeconfig(kubeconfig, context),
    clock,
    random: Math.random,
    userAgent: `fairway/${packageVersion()}`,
  })
}

interface Baked {
  readonly server: Digest
  /** Null where the database is the user's. */
  readonly postgres: Digest | null
}

async function bake(
  options: InstallerOptions,
  { database }: InstallRequest,
  signal: AbortSignal,
): Promise<Baked> {
  const kitchen = createKitchen(await bakerOptions(options))
  const job = { step: (text: string) => options.log.info({ text }, 'installs'), signal }
  const server = await bakePlatform(kitchen, await platformFiles(), job)
  const postgres = database === null ? (await bakePostgres(kitchen, job)).digest : null
  return { server, postgres }
}

async function deliver(
  { images }: InstallerOptions,
  registry: TargetRegistry,
  { server, postgres }: Baked,
): Promise<void> {
  for (const [name, digest] of [
    [SERVER, server],
    [POSTGRES, postgres],
  ] as const) {
    if (digest === null) continue
    if (registry.push) await pushImage(images, digest, `${registry.name}/${name}`, registry)
    else await images.tag(name, packageVersion(), digest)
  }
}

interface Planned extends Pick<InstallerOptions, 'owner' | 'clock'> {
  readonly request: InstallRequest
  readonly registry: TargetRegistry
  readonly installer: PlatformInstaller
  readonly baked: Baked
  readonly packages: PlatformPackages
}

async function planOf(given: Planned): Promise<PlatformPlan> {
  const { request, registry, installer, baked, packages, clock } = given
  const { namespace, target, hosts, nodePort, accessNodePort, database } = request
  const known = (name: string, key: string): Promise<string | null> =>
    installer.secret(namespace, name, key)
  const fresh = (): string => randomBytes(18).toString('hex')
  const reference = (name: string, digest: Digest): string => `${registry.name}/${name}@${digest}`
  const dbPassword = (await known(POSTGRES, 'password')) ?? fresh()
  const passwords = {
    password: (await known(REGISTRY, 'FAIRWAY_REGISTRY_PASSWORD')) ?? fresh(),
    pullPassword: (await known(REGISTRY, 'FAIRWAY_REGISTRY_PULL_PASSWORD')) ?? fresh(),
  }
  return {
    namespace,
    installer: await given.owner(),
    target,
    hosts,
    nodePort,
    accessNodePort,
    owner: (await known(KEYS, OWNER_KEY)) ?? `fairway-${randomBytes(4).toString('hex')}`,
    keys: await keysOf(known, clock),
    packages,
    given: await givenOf(request, installer),
    notices: request.notices,
    image: reference(SERVER, baked.server),
    pullSecret: pullSecret(registrySettings(registry)),
    database:
      baked.postgres === null
        ? { url: database ?? '', own: null }
        : {
            url: ownDatabaseUrl(dbPassword),
            own: { image: reference(POSTGRES, baked.postgres), password: dbPassword },
          },
    registry: registry.push
      ? {
          settings: registrySettings(registry),
          own: null,
          pullSecret: pullSecret(registrySettings(registry)),
        }
      : ownRegistry(request, passwords),
  }
}

/** What is there stays where nothing else is given. */
async function givenOf(
  { settings, namespace }: InstallRequest,
  installer: PlatformInstaller,
): Promise<PlatformSettings> {
  if (settings !== null) return checkedSettings(settings)
  return {
    variables: (await installer.secrets(namespace, GIVEN)) ?? {},
    files: (await installer.secrets(namespace, GIVEN_FILES)) ?? {},
  }
}

/** Made once: what was encrypted or pinned under the ones that are there would be lost with others. */
async function keysOf(
  known: (secret: string, key: string) => Promise<string | null>,
  clock: Clock,
): Promise<PlatformKeys> {
  const [serverKey, ca, caKey] = [
    await known(KEYS, KEY_FILES.serverKey),
    await known(KEYS, KEY_FILES.ca),
    await known(KEYS, KEY_FILES.caKey),
  ]
  const authority =
    ca === null || caKey === null
      ? await LocalAuthority.generate(() => clock.now())
      : { certificate: ca, key: caKey }
  return {
    serverKey: serverKey ?? `${randomBytes(32).toString('base64')}\n`,
    ca: authority.certificate,
    caKey: authority.key,
  }
}

function ownRegistry(
  { registryPort, namespace }: InstallRequest,
  passwords: { readonly password: string; readonly pullPassword: string },
): PlatformPlan['registry'] {
  const settings = registrySettings({
    name: `127.0.0.1:${String(registryPort)}`,
    push: true,
    user: REGISTRY_USER,
    password: passwords.password,
    pull: { user: REGISTRY_USER, password: passwords.pullPassword },
    endpoint: `http://${REGISTRY}.${namespace}.svc:${String(REGISTRY_PORT)}`,
  })
  return {
    settings,
    own: { nodePort: registryPort, ...passwords },
    pullSecret: pullSecret(settings),
  }
}

function notesOf({ database, registry, image, packages }: PlatformPlan): readonly string[] {
  return [
    ...(Object.keys(packages.apt).length > 0
      ? []
      : [
          'No Debian package source that the cluster reaches is known: Python and Java apps cannot be baked there (--apt-sources FILE).',
        ]),
    ...(database.own === null
      ? []
      : [
          'PostgreSQL is one instance on one disk without backups: for more than a trial give --database.',
        ]),
    ...(registry.own === null
      ? []
      : [
          `Images of apps lie in a registry on one disk, which nodes reach at 127.0.0.1:${String(registry.own.nodePort)}; a registry of your own (fairway target add --registry) needs neither.`,
          `The nodes still pull ${image.split('@')[0] ?? image} from this server when a pod of the control plane starts.`,
        ]),
  ]
}

function noRegistry(name: string): FairwayError {
  return new FairwayError(
    'REGISTRY_FAILED',
    `the nodes of ${name} have nowhere to pull images from`,
    {
      hint: `Give the target a registry: \`fairway target add ${name} --registry HOST/PATH\` or \`--pull-from HOST:PORT\`.`,
    },
  )
}
