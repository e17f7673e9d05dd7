import type { ProcessSpec } from '../model/app-spec.ts'
import type { AppRef } from '../model/names.ts'
import { LABELS, namespaceOf } from './labels.ts'
import { kubeObject, type KubeObject, type Labels } from './object.ts'
import { ownershipLabels } from './ownership.ts'
import type { BaseSettings } from './plan-settings.ts'

/** What an app needs before anything of it can run: nothing of a release is in it, so jobs and releases plan the same bytes. */
export function planBase(
  ref: AppRef,
  processes: readonly Pick<ProcessSpec, 'name'>[],
  settings: BaseSettings,
): readonly KubeObject[] {
  const namespace = namespaceOf(ref)
  const labels = ownershipLabels({ ref, owner: settings.owner })
  return [
    kubeObject({
      apiVersion: 'v1',
      kind: 'Namespace',
      name: namespace,
      namespace: null,
      labels: { ...labels, ...RESTRICTED },
      fields: {},
    }),
    ...processes.map(({ name }) =>
      kubeObject({
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        name,
        namespace,
        labels: ownershipLabels({ ref, owner: settings.owner, process: name }),
        fields: { automountServiceAccountToken: false },
      }),
    ),
    ...pullSecret(namespace, labels, settings),
    denyByDefault(ref, namespace, labels, settings),
  ]
}

/** Selects every namespace of the environment that this installation owns. */
export function environmentNamespaces(ref: AppRef, owner: string): unknown {
  return {
    matchLabels: { [LABELS.environment]: ref.environment, [LABELS.owner]: owner },
  }
}

// Private

const RESTRICTED: Labels = Object.freeze({
  'pod-security.kubernetes.io/enforce': 'restricted',
  'pod-security.kubernetes.io/audit': 'restricted',
  'pod-security.kubernetes.io/warn': 'restricted',
})

/** Metadata of the cloud, and what is no address of another host. */
const NEVER_CALLED = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3']
const NEVER_CALLED_V6 = ['fc00::/7', 'fe80::/10']
const PRIVATE_RANGES = ['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16']
const NODE_LOCAL_DNS = '169.254.20.10/32'

/**
 * Nothing in; out to DNS, to the processes of the same environment (whose own policy says who may), and to the world, as on one machine: not to the cluster's
 * other pods and Services, not to the cloud's metadata. Where the cluster's ranges are not known, all private ones are closed.
 */
function denyByDefault(
  ref: AppRef,
  namespace: string,
  labels: Labels,
  { owner, facts }: BaseSettings,
): KubeObject {
  return kubeObject({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    name: 'fairway--default',
    namespace,
    labels,
    fields: {
      spec: {
        podSelector: {},
        policyTypes: ['Ingress', 'Egress'],
        egress: [
          {
            to: [{ namespaceSelector: {} }, { ipBlock: { cidr: NODE_LOCAL_DNS } }],
            ports: ['UDP', 'TCP'].map((protocol) => ({ protocol, port: 53 })),
          },
          { to: [{ namespaceSelector: environmentNamespaces(ref, owner) }] },
          { to: worldOf(facts) },
        ],
      },
    },
  })
}

/** IPv6 only where the cluster has it, or may have it. */
function worldOf({ clusterRanges }: BaseSettings['facts']): readonly unknown[] {
  const ranges = clusterRanges ?? PRIVATE_RANGES
  const isV6 = (range: string): boolean => range.includes(':')
  const block = (cidr: string, never: readonly string[]): unknown => {
    const except = ranges.filter((range) => isV6(range) === isV6(cidr))
    return { ipBlock: { cidr, except: [...new Set([...never, ...except])].sort() } }
  }
  return [
    block('0.0.0.0/0', NEVER_CALLED),
    ...(clusterRanges === null || clusterRanges.some(isV6) ? [block('::/0', NEVER_CALLED_V6)] : []),
  ]
}

function pullSecret(namespace: string, labels: Labels, settings: BaseSettings): KubeObject[] {
  if (settings.pullSecret === null) return []
  const { name, dockerConfigJson } = settings.pullSecret
  return [
    kubeObject({
      apiVersion: 'v1',
      kind: 'Secret',
      name,
      namespace,
      labels,
      fields: {
        type: 'kubernetes.io/dockerconfigjson',
        data: { '.dockerconfigjson': Buffer.from(dockerConfigJson).toString('base64') },
      },
    }),
  ]
}
