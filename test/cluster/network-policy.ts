/** NetworkPolicy (networking.k8s.io/v1) as packet filter rules for one node. Pure: objects in, text for `iptables-restore` out. */
import { createHash } from 'node:crypto'
import { z } from 'zod'

const labels = z.record(z.string(), z.string())
const selector = z.object({
  matchLabels: labels.default({}),
  matchExpressions: z
    .array(
      z.object({
        key: z.string(),
        operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
        values: z.array(z.string()).default([]),
      }),
    )
    .default([]),
})
const peer = z.object({
  podSelector: selector.optional(),
  namespaceSelector: selector.optional(),
  ipBlock: z.object({ cidr: z.string(), except: z.array(z.string()).default([]) }).optional(),
})
const port = z.object({
  protocol: z.string().default('TCP'),
  port: z.union([z.number(), z.string()]).optional(),
  endPort: z.number().optional(),
})
const metadata = z.object({
  name: z.string(),
  namespace: z.string().default(''),
  labels: labels.default({}),
})

export const policySchema = z.object({
  metadata,
  spec: z.object({
    podSelector: selector,
    policyTypes: z.array(z.enum(['Ingress', 'Egress'])).default(['Ingress']),
    ingress: z
      .array(z.object({ from: z.array(peer).default([]), ports: z.array(port).default([]) }))
      .default([]),
    egress: z
      .array(z.object({ to: z.array(peer).default([]), ports: z.array(port).default([]) }))
      .default([]),
  }),
})
export const podSchema = z.object({
  metadata,
  spec: z.object({
    nodeName: z.string().default(''),
    hostNetwork: z.boolean().default(false),
    containers: z.array(
      z.object({
        ports: z
          .array(
            z.object({
              name: z.string().default(''),
              containerPort: z.number(),
              protocol: z.string().default('TCP'),
            }),
          )
          .default([]),
      }),
    ),
  }),
  status: z.object({ podIP: z.string().default(''), phase: z.string().default('') }),
})
export const namespaceSchema = z.object({ metadata })

export type Policy = z.infer<typeof policySchema>
export type Pod = z.infer<typeof podSchema>
export type Namespace = z.infer<typeof namespaceSchema>
type Selector = z.infer<typeof selector>
type Peer = z.infer<typeof peer>
type Port = z.infer<typeof port>
type Direction = 'Ingress' | 'Egress'

export interface ClusterView {
  readonly pods: readonly Pod[]
  readonly namespaces: readonly Namespace[]
  readonly policies: readonly Policy[]
}

export interface Chain {
  readonly name: string
  /** Rules without `-A <chain>`. */
  readonly rules: readonly string[]
}

export const ROOT_CHAIN = 'FW-POLICY'

/** The chains of a node, the root one first: traffic that comes back from it is allowed. */
export function policyChains(view: ClusterView, node: string): readonly Chain[] {
  const root = ['-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN']
  const chains: Chain[] = []
  for (const pod of view.pods.filter((each) => each.spec.nodeName === node && isReachable(each))) {
    for (const direction of ['Egress', 'Ingress'] as const) {
      const policies = view.policies.filter(
        ({ metadata: { namespace }, spec }) =>
          namespace === pod.metadata.namespace &&
          spec.policyTypes.includes(direction) &&
          matches(spec.podSelector, pod.metadata.labels),
      )
      if (policies.length === 0) continue
      const name = chainName(direction, pod.status.podIP)
      root.push(`${direction === 'Ingress' ? '-d' : '-s'} ${pod.status.podIP}/32 -j ${name}`)
      const allowed = policies.flatMap((policy) => allowances(view, pod, policy, direction))
      chains.push({ name, rules: [...new Set(allowed), '-j DROP'] })
    }
  }
  return [{ name: ROOT_CHAIN, rules: root }, ...chains]
}

/** @param stale chains of an earlier text that are not wanted any more */
export function restoreText(chains: readonly Chain[], stale: readonly string[]): string {
  return [
    '*mangle',
    ...[...chains.map(({ name }) => name), ...stale].map((name) => `:${name} - [0:0]`),
    ...chains.flatMap(({ name, rules }) => rules.map((rule) => `-A ${name} ${rule}`)),
    ...stale.map((name) => `-X ${name}`),
    'COMMIT',
    '',
  ].join('\n')
}

function allowances(
  view: ClusterView,
  pod: Pod,
  { metadata: { namespace }, spec }: Policy,
  direction: Direction,
): readonly string[] {
  const rules =
    direction === 'Ingress'
      ? spec.ingress.map(({ from, ports }) => ({ peers: from, ports }))
      : spec.egress.map(({ to, ports }) => ({ peers: to, ports }))
  const side = direction === 'Ingress' ? '-s' : '-d'
  return rules.flatMap(({ peers, ports }) => {
    const places = peers.flatMap((each) => placesOf(view, namespace, each))
    const sides = peers.length === 0 ? [null] : places
    return sides.flatMap((place) => {
      const target = direction === 'Ingress' ? pod : place?.pod
      const matched = portMatches(view, ports, target ?? null)
      return matched.map((match) => compose(place, side, match))
    })
  })
}

interface Place {
  readonly cidr: string
  readonly except: readonly string[]
  readonly pod: Pod | null
}

function compose(place: Place | null, side: string, match: string): string {
  if (place === null) return join(match, '-j RETURN')
  // iptables takes one address for each match, so exceptions are asked for by their own module.
  const except = place.except.map((cidr) => {
    const [low, high] = rangeOf(cidr)
    const flag = side === '-s' ? '--src-range' : '--dst-range'
    return `-m iprange ! ${flag} ${low}-${high}`
  })
  return join(`${side} ${place.cidr}`, ...except, match, '-j RETURN')
}

function placesOf(view: ClusterView, own: string, each: Peer): readonly Place[] {
  const { ipBlock, podSelector, namespaceSelector } = each
  if (ipBlock !== undefined) {
    // Pods of the lab have no IPv6 addresses: such a block matches nothing.
    const except = ipBlock.except.filter(isIpv4)
    return isIpv4(ipBlock.cidr) ? [{ cidr: ipBlock.cidr, except, pod: null }] : []
  }
  const namespaces = new Set(
    namespaceSelector === undefined
      ? [own]
      : view.namespaces
          .filter((namespace) => matches(namespaceSelector, namespace.metadata.labels))
          .map((namespace) => namespace.metadata.name),
  )
  return view.pods
    .filter((pod) => isReachable(pod) && namespaces.has(pod.metadata.namespace))
    .filter((pod) => podSelector === undefined || matches(podSelector, pod.metadata.labels))
    .map((pod) => ({ cidr: `${pod.status.podIP}/32`, except: [], pod }))
}

/** What a packet's protocol and port must be, one match for each; a name stands for the number that the target calls so. */
function portMatches(
  view: ClusterView,
  ports: readonly Port[],
  target: Pod | null,
): readonly string[] {
  if (ports.length === 0) return ['']
  return ports.flatMap(({ protocol, port: wanted, endPort }) => {
    const base = `-p ${protocol.toLowerCase()}`
    if (wanted === undefined) return [base]
    if (typeof wanted === 'number') {
      const last = endPort === undefined ? '' : `:${String(endPort)}`
      return [`${base} --dport ${String(wanted)}${last}`]
    }
    const owners = target === null ? view.pods : [target]
    const numbers = owners.flatMap(({ spec }) =>
      spec.containers.flatMap((container) =>
        container.ports
          .filter((named) => named.name === wanted && named.protocol === protocol)
          .map((named) => named.containerPort),
      ),
    )
    return [...new Set(numbers)].map((number) => `${base} --dport ${String(number)}`)
  })
}

function matches({ matchLabels, matchExpressions }: Selector, of: Record<string, string>): boolean {
  const isEqual = Object.entries(matchLabels).every(([key, value]) => of[key] === value)
  return (
    isEqual &&
    matchExpressions.every(({ key, operator, values }) => {
      const value = of[key]
      if (operator === 'Exists') return value !== undefined
      if (operator === 'DoesNotExist') return value === undefined
      const isIn = value !== undefined && values.includes(value)
      return operator === 'In' ? isIn : !isIn
    })
  )
}

function isReachable({ spec, status }: Pod): boolean {
  const isEnded = status.phase === 'Succeeded' || status.phase === 'Failed'
  return !spec.hostNetwork && status.podIP !== '' && !isEnded
}

function isIpv4(cidr: string): boolean {
  return !cidr.includes(':')
}

/** At most 28 characters, as xtables wants it. */
function chainName(direction: Direction, address: string): string {
  const hash = createHash('sha256').update(address).digest('hex').slice(0, 16)
  return `FW-${direction === 'Ingress' ? 'IN' : 'EG'}-${hash}`
}

/** First and last address of a block (IPv4). */
function rangeOf(cidr: string): readonly [string, string] {
  const [address = '', bits = '32'] = cidr.split('/')
  const number = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
  const size = 2 ** (32 - Number(bits))
  const first = Math.floor(number / size) * size
  return [dotted(first), dotted(first + size - 1)]
}

function dotted(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.')
}

function join(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join(' ')
}
