/** How the pods of a target come to values and identities: where they ask, whom they believe, and the image of the programs that ask. */
import { isIP } from 'node:net'
import { ACCESS_PORT, ACCESS_SERVICE, selector } from '../kubernetes/plan-platform.ts'
import type { DoorPeer, EngineDoor, PodDoor } from '../kubernetes/pod-door.ts'
import { FairwayError } from '../model/errors.ts'
import { identityAudience, identityPath } from '../model/instance-identity.ts'
import { secretsAudience, secretsPath } from '../model/instance-secrets.ts'
import type { TargetName } from '../model/names.ts'
import type { InstanceSecrets } from '../model/secrets.ts'
import type { TargetRecord } from '../model/store.ts'
import { serverUrlOf } from '../reconcile/target-server.ts'
import type { Config } from './config.ts'

/** The listener for clusters, as far as pods see it. */
export interface AccessPoint {
  readonly port: number
  /** PEM of the authority that signs for the name under which pods call. */
  readonly ca: string
}

export interface PodDoorOptions {
  readonly config: Pick<Config, 'access' | 'home' | 'hostNames'>
  readonly owner: string
  /** Listens from then on; null where it cannot. */
  readonly access: () => Promise<AccessPoint | null>
  /** Reference by digest of an image that lies where the nodes of the target pull. */
  readonly image: (target: TargetRecord) => Promise<string>
  /** Opens what plans of objects need to know of values. */
  readonly values: InstanceSecrets
  /** Addresses of a host name. */
  readonly lookup: (host: string) => Promise<readonly string[]>
}

export function podDoors(options: PodDoorOptions): (target: TargetRecord) => EngineDoor {
  return (target) => ({
    audiences: audiencesOf(options, target),
    values: options.values,
    door: () => openDoor(options, target),
  })
}

// Private

function audiencesOf(
  { owner }: Pick<PodDoorOptions, 'owner'>,
  { name }: TargetRecord,
): EngineDoor['audiences'] {
  return { secrets: secretsAudience(owner, name), identity: identityAudience(owner, name) }
}

const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::'])
const LOCAL = /^(?:localhost|127\..*|\[?::1\]?)$/

async function openDoor(options: PodDoorOptions, target: TargetRecord): Promise<PodDoor> {
  const { config, access, image } = options
  const audiences = audiencesOf(options, target)
  const point = await access()
  if (point === null) throw unreachable(target.name, 'this server does not listen for clusters')
  const base = serverUrlOf(target.settings) ?? defaultUrl(config, target.name, point.port)
  if (base === null)
    throw unreachable(target.name, 'this server has no address that pods can reach')
  const url = new URL(base)
  return {
    image: await image(target),
    ca: point.ca,
    needs: {
      secrets: { url: `${url.origin}${secretsPath(target.name)}`, audience: audiences.secrets },
      identity: { url: `${url.origin}${identityPath(target.name)}`, audience: audiences.identity },
    },
    peers: await peersOf(options, url),
    port: Number(url.port === '' ? 443 : url.port),
  }
}

/** In the cluster by its Service; elsewhere as people's own programs reach it. */
function defaultUrl(
  { access, home, hostNames }: PodDoorOptions['config'],
  target: TargetName,
  port: number,
): string | null {
  if (home?.target === target) return homeUrl(home.namespace)
  if (access === null) return null
  if (access.url !== null) return LOCAL.test(new URL(access.url).hostname) ? null : access.url
  const host = WILDCARDS.has(access.host) ? (hostNames[0] ?? null) : access.host
  if (host === null || LOCAL.test(host)) return null
  return `https://${isIP(host) === 6 ? `[${host}]` : host}:${String(port)}`
}

function homeUrl(namespace: string): string {
  return `https://${ACCESS_SERVICE}.${namespace}.svc:${String(ACCESS_PORT)}`
}

async function peersOf(
  { config: { home }, lookup }: PodDoorOptions,
  { origin, hostname }: URL,
): Promise<readonly DoorPeer[]> {
  if (home !== null && origin === homeUrl(home.namespace))
    return [{ namespace: home.namespace, labels: selector('server') }]
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  // A name that only pods know is left to the rules for the world.
  const found = isIP(host) === 0 ? await lookup(host).catch(() => []) : [host]
  return [...found].sort().map((one) => ({ cidr: `${one}/${isIP(one) === 6 ? '128' : '32'}` }))
}

function unreachable(target: TargetName, why: string): FairwayError {
  return new FairwayError(
    'RUNNER_UNAVAILABLE',
    `pods of ${target} cannot reach the server: ${why}`,
    {
      hint: `Let it listen where they reach it (FAIRWAY_ACCESS_HOST, FAIRWAY_ACCESS_PORT), and say how: \`fairway target add ${target} --server-url https://HOST:PORT\`, or FAIRWAY_ACCESS_URL.`,
    },
  )
}
