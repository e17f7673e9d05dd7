import { lookup } from 'node:dns/promises'
import type { ClusterClient } from '../kubernetes/cluster-client.ts'
import { at, listAt, numberAt, recordAt, textAt } from '../kubernetes/json-value.ts'
import { KINDS } from '../kubernetes/kinds.ts'
import type { PackageSource } from '../kubernetes/package-egress.ts'

export interface PlaceOptions {
  readonly client: Pick<ClusterClient, 'get'>
  /** Environment of build steps, as `PackageSources.env`. */
  readonly env: Readonly<Record<string, string>>
  readonly resolve?: (host: string) => Promise<readonly string[]>
}

/** Where build steps of a cluster get packages, and by which way out. Names that do not resolve have no address: the step then says so. */
export async function packagePlaces(options: PlaceOptions): Promise<readonly PackageSource[]> {
  const { client, env, resolve = addressesOf } = options
  const places: PackageSource[] = []
  for (const url of sourceUrls(env)) {
    const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const pods = await podsBehind(client, host, port)
    places.push({ port, pods, addresses: pods === null ? await resolve(host) : [] })
  }
  return places
}

/** URLs in the environment of a step: registries, indexes and proxies. */
export function sourceUrls(env: Readonly<Record<string, string>>): readonly URL[] {
  const wanted = Object.entries(env).filter(([name]) =>
    /^(?:npm_config_registry|PIP_(?:EXTRA_)?INDEX_URL|(?:https?|all)_proxy)$/i.test(name),
  )
  return wanted
    .flatMap(([, value]) => value.split(/\s+/))
    .map((text) => (URL.canParse(text) ? new URL(text) : null))
    .filter((url) => url !== null)
}

// Private

async function addressesOf(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: true }).catch(() => [])
  return found.map(({ address }) => address).sort()
}

/** Policies look behind the address of a Service: at its pods. */
async function podsBehind(
  client: PlaceOptions['client'],
  host: string,
  port: number,
): Promise<PackageSource['pods']> {
  const [name = '', namespace = '', svc] = host.split('.')
  if (svc !== 'svc') return null
  const service = await client.get({ kind: KINDS.Service, namespace, name })
  const selector = recordAt(service, 'spec', 'selector')
  const labels = Object.fromEntries(
    Object.keys(selector).map((key) => [key, textAt(selector, key)]),
  )
  if (Object.keys(labels).length === 0) return null
  const ports = listAt(service, 'spec', 'ports')
  const found = ports.find((one) => numberAt(one, 'port') === port)
  const target = at(found, 'targetPort')
  const known = typeof target === 'string' || typeof target === 'number' ? target : port
  return { namespace, labels, port: known }
}
