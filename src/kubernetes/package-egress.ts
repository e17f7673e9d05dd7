import { BlockList, isIP } from 'node:net'

/** A package source as the cluster reaches it. */
export interface PackageSource {
  readonly port: number
  /** Addresses of its name; empty where it has none now. */
  readonly addresses: readonly string[]
  /** Set where its name is that of a Service of the cluster: policies are asked about its pods. */
  readonly pods: {
    readonly namespace: string
    readonly labels: Readonly<Record<string, string>>
    /** Port of the pods, by number or name. */
    readonly port: number | string
  } | null
}

/** Everything that no package source on the internet has. RFC 1918, 6598, 3927, 1122, 5771. */
const NOT_PUBLIC = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '224.0.0.0/3',
]
const NOT_PUBLIC_V6 = ['fc00::/7', 'fe80::/10']
const NODE_LOCAL_DNS = '169.254.20.10/32'

/**
 * Rules of a NetworkPolicy: DNS, and each source at its port. A policy knows addresses and no names: a source of this network is one address, one that is public may have another
 * address a minute later, so there all public addresses are open at its port. Equal input gives equal rules.
 */
export function packageEgress(sources: readonly PackageSource[]): readonly unknown[] {
  const dns = {
    to: [{ namespaceSelector: {} }, { ipBlock: { cidr: NODE_LOCAL_DNS } }],
    ports: ['UDP', 'TCP'].map((protocol) => ({ protocol, port: 53 })),
  }
  const rules = new Map<string, unknown>()
  for (const source of sources)
    for (const rule of rulesOf(source)) rules.set(JSON.stringify(rule), rule)
  return [dns, ...[...rules].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, rule]) => rule)]
}

/** True for addresses that mean the same host for everybody. */
export function isPublic(address: string): boolean {
  const known = new BlockList()
  for (const range of [...NOT_PUBLIC, ...NOT_PUBLIC_V6, '::/127', 'ff00::/8']) {
    const [network = '', prefix = ''] = range.split('/')
    known.addSubnet(network, Number(prefix), isIP(network) === 6 ? 'ipv6' : 'ipv4')
  }
  return !known.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

// Private

function rulesOf({ port, addresses, pods }: PackageSource): readonly unknown[] {
  if (pods !== null) {
    const { namespace, labels } = pods
    const to = {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
      podSelector: { matchLabels: labels },
    }
    return [{ to: [to], ports: [{ protocol: 'TCP', port: pods.port }] }]
  }
  return addresses.map((address) => ({
    to: [{ ipBlock: blockOf(address) }],
    ports: [{ protocol: 'TCP', port }],
  }))
}

function blockOf(address: string): unknown {
  const isV6 = isIP(address) === 6
  if (!isPublic(address)) return { cidr: `${address}/${isV6 ? '128' : '32'}` }
  return isV6 ? { cidr: '::/0', except: NOT_PUBLIC_V6 } : { cidr: '0.0.0.0/0', except: NOT_PUBLIC }
}
