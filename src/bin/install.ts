/** `fairway install`: this very program, as an image, on one of its targets. Loaded when somebody asks for it. */
import { randomBytes } from 'node:crypto'
import { createKitchen } from '../bake/baker.ts'
import { bakePlatform, bakePostgres } from '../bake/platform-image.ts'
import { ClusterClient } from '../kubernetes/cluster-client.ts'
import { readKubeconfig } from '../kubernetes/kubeconfig.ts'
import { toYaml } from '../kubernetes/object.ts'
import { planPlatform, type PlatformPlan } from '../kubernetes/plan-platform.ts'
import { ownDatabaseUrl, POSTGRES } from '../kubernetes/plan-platform-postgres.ts'
import { REGISTRY, REGISTRY_PORT, REGISTRY_USER } from '../kubernetes/plan-platform-registry.ts'
import { PlatformInstaller } from '../kubernetes/platform-installer.ts'
import { FairwayError } from '../model/errors.ts'
import type { Installed, Installer, InstallRequest } from '../model/installer.ts'
import type { Store } from '../model/store.ts'
import type { TargetRegistry } from '../model/targets.ts'
import type { Digest } from '../model/release.ts'
import { registryOf, registrySettings } from '../reconcile/target-registry.ts'
import { pullSecret } from './clusters.ts'
import { bakerOptions, type KitchenOptions } from './kitchen.ts'
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
  return { install: (request, signal) => install(options, request, signal) }
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
  const client = new ClusterClient({
    connection: readKubeconfig(target.kubeconfig, target.context),
    clock,
    random: Math.random,
    userAgent: `fairway/${packageVersion()}`,
  })
  try {
    const installer = new PlatformInstaller({ client, clock, installer: await options.owner() })
    const baked = await bake(options, request, signal)
    const plan = await planOf({ owner: options.owner, request, registry, installer, baked })
    const manifests = toYaml(planPlatform(plan))
    const done = { manifests, image: plan.image, notes: notesOf(plan) }
    if (request.dryRun) return { ...done, active: null, claim: null }
    await deliver(options, registry, baked)
    await installer.apply(planPlatform(plan))
    log.info({ target: request.target, image: plan.image }, 'control plane applied')
    const active = await installer.active(request.namespace, plan.image, READY_MS, signal)
    return { ...done, active: active.pod, claim: active.claim }
  } finally {
    await client.close()
  }
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

interface Planned extends Pick<InstallerOptions, 'owner'> {
  readonly request: InstallRequest
  readonly registry: TargetRegistry
  readonly installer: PlatformInstaller
  readonly baked: Baked
}

async function planOf(given: Planned): Promise<PlatformPlan> {
  const { request, registry, installer, baked } = given
  const { namespace, target, hosts, nodePort, database } = request
  const known = (name: string, key: string): Promise<string | null> =>
    installer.secret(namespace, name, key)
  const fresh = (): string => randomBytes(18).toString('hex')
  const reference = (name: string, digest: Digest): string => `${registry.name}/${name}@${digest}`
  const dbPassword = (await known(POSTGRES, 'password')) ?? fresh()
  const registryPassword = (await known(REGISTRY, 'FAIRWAY_REGISTRY_PASSWORD')) ?? fresh()
  return {
    namespace,
    installer: await given.owner(),
    target,
    hosts,
    nodePort,
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
      ? { settings: registrySettings(registry), own: null }
      : ownRegistry(request, registryPassword),
  }
}

function ownRegistry(
  { registryPort, namespace }: InstallRequest,
  password: string,
): PlatformPlan['registry'] {
  const settings = registrySettings({
    name: `127.0.0.1:${String(registryPort)}`,
    push: true,
    user: REGISTRY_USER,
    password,
    endpoint: `http://${REGISTRY}.${namespace}.svc:${String(REGISTRY_PORT)}`,
  })
  return { settings, own: { nodePort: registryPort, password } }
}

function notesOf({ database, registry, image }: PlatformPlan): readonly string[] {
  return [
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
