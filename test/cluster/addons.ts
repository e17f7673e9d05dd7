import type { Addresses } from './addresses.ts'
import { PROVISIONER, STORAGE_CLASS } from './volumes.ts'

export interface AddonImages {
  readonly coredns: string
  readonly metricsServer: string
}

const NAMESPACE = 'kube-system'

/** DNS, metrics and a default StorageClass: what every real cluster brings besides the API. */
export function addons(addresses: Addresses, images: AddonImages): readonly object[] {
  return [
    ...dns(addresses, images.coredns),
    ...metrics(images.metricsServer),
    {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: {
        name: STORAGE_CLASS,
        annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' },
      },
      provisioner: PROVISIONER,
      reclaimPolicy: 'Delete',
      // As for all volumes that belong to one node.
      volumeBindingMode: 'WaitForFirstConsumer',
    },
  ]
}

/** Answers for the cluster's own names; every other name does not exist, as there is no way out. */
const COREFILE = `cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods insecure
      ttl 5
    }
    cache 5
    loadbalance
    reload
}
.:53 {
    errors
    health
    ready
    template ANY ANY {
      rcode NXDOMAIN
    }
}
`

function dns({ dnsService }: Addresses, image: string): readonly object[] {
  const name = 'coredns'
  const rules = [
    rule('', ['endpoints', 'services', 'pods', 'namespaces'], ['list', 'watch']),
    rule('discovery.k8s.io', ['endpointslices'], ['list', 'watch']),
  ]
  const container = {
    name,
    image,
    args: ['-conf', '/etc/coredns/Corefile'],
    resources: { requests: { cpu: '20m', memory: '32Mi' }, limits: { memory: '128Mi' } },
    readinessProbe: { httpGet: { path: '/ready', port: 8181 }, periodSeconds: 1 },
    livenessProbe: { httpGet: { path: '/health', port: 8080 } },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { add: ['NET_BIND_SERVICE'], drop: ['ALL'] },
    },
    volumeMounts: [{ name: 'config', mountPath: '/etc/coredns', readOnly: true }],
  }
  const labels = { 'k8s-app': 'kube-dns' }
  return [
    ...account(name, 'system:coredns', rules),
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: own(name), data: { Corefile: COREFILE } },
    deployment(name, labels, {
      serviceAccountName: name,
      priorityClassName: 'system-cluster-critical',
      // Its own resolver would be itself.
      dnsPolicy: 'Default',
      containers: [container],
      volumes: [{ name: 'config', configMap: { name } }],
    }),
    service('kube-dns', labels, {
      clusterIP: dnsService,
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'dns-tcp', port: 53, protocol: 'TCP' },
      ],
    }),
  ]
}

function metrics(image: string): readonly object[] {
  const name = 'metrics-server'
  const labels = { 'k8s-app': name }
  const container = {
    name,
    image,
    args: [
      '--cert-dir=/tmp',
      '--secure-port=10250',
      '--kubelet-preferred-address-types=InternalIP',
      '--kubelet-certificate-authority=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt',
      '--metric-resolution=10s',
      '--kubelet-request-timeout=5s',
    ],
    resources: { requests: { cpu: '20m', memory: '40Mi' }, limits: { memory: '200Mi' } },
    readinessProbe: {
      httpGet: { path: '/readyz', port: 10250, scheme: 'HTTPS' },
      periodSeconds: 2,
    },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      runAsUser: 1000,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
  }
  const rules = [
    rule('', ['nodes/metrics'], ['get']),
    rule('', ['pods', 'nodes'], ['get', 'list', 'watch']),
  ]
  return [
    ...account(name, 'system:metrics-server', rules),
    bind('metrics-server:delegator', 'system:auth-delegator', name),
    aggregatedReader(),
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: own('metrics-server-auth-reader'),
      roleRef: {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'Role',
        name: 'extension-apiserver-authentication-reader',
      },
      subjects: [{ kind: 'ServiceAccount', name, namespace: NAMESPACE }],
    },
    deployment(name, labels, {
      serviceAccountName: name,
      priorityClassName: 'system-cluster-critical',
      containers: [container],
      volumes: [{ name: 'tmp', emptyDir: {} }],
    }),
    service(name, labels, { ports: [{ name: 'https', port: 443, targetPort: 10250 }] }),
    {
      apiVersion: 'apiregistration.k8s.io/v1',
      kind: 'APIService',
      metadata: { name: 'v1beta1.metrics.k8s.io' },
      spec: {
        service: { name, namespace: NAMESPACE },
        group: 'metrics.k8s.io',
        version: 'v1beta1',
        insecureSkipTLSVerify: true,
        groupPriorityMinimum: 100,
        versionPriority: 100,
      },
    },
  ]
}

function aggregatedReader(): object {
  const metadata = {
    name: 'system:aggregated-metrics-reader',
    labels: Object.fromEntries(
      ['view', 'edit', 'admin'].map((role) => [
        `rbac.authorization.k8s.io/aggregate-to-${role}`,
        'true',
      ]),
    ),
  }
  const rules = [rule('metrics.k8s.io', ['pods', 'nodes'], ['get', 'list', 'watch'])]
  return { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata, rules }
}

function own(name: string): object {
  return { name, namespace: NAMESPACE }
}

function rule(group: string, resources: readonly string[], verbs: readonly string[]): object {
  return { apiGroups: [group], resources, verbs }
}

/** A service account and a ClusterRole for it. */
function account(name: string, role: string, rules: readonly object[]): readonly object[] {
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: own(name) },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: role },
      rules,
    },
    bind(role, role, name),
  ]
}

function bind(name: string, role: string, account: string): object {
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
    subjects: [{ kind: 'ServiceAccount', name: account, namespace: NAMESPACE }],
  }
}

function deployment(name: string, labels: object, podSpec: object): object {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { ...own(name), labels },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: podSpec },
    },
  }
}

function service(name: string, labels: object, spec: object): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { ...own(name), labels },
    spec: { selector: labels, ...spec },
  }
}
