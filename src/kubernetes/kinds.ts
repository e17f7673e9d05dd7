/** Where the API server keeps objects of one kind. */
export interface Kind {
  readonly apiVersion: string
  readonly kind: string
  /** Lower-case plural, as in URLs. */
  readonly plural: string
  readonly namespaced: boolean
}

function kind(apiVersion: string, name: string, plural: string, namespaced = true): Kind {
  return Object.freeze({ apiVersion, kind: name, plural, namespaced })
}

/** Every kind that the engine writes or reads, by name. */
export const KINDS = Object.freeze({
  Namespace: kind('v1', 'Namespace', 'namespaces', false),
  Node: kind('v1', 'Node', 'nodes', false),
  Pod: kind('v1', 'Pod', 'pods'),
  Service: kind('v1', 'Service', 'services'),
  ServiceAccount: kind('v1', 'ServiceAccount', 'serviceaccounts'),
  Secret: kind('v1', 'Secret', 'secrets'),
  ConfigMap: kind('v1', 'ConfigMap', 'configmaps'),
  PersistentVolumeClaim: kind('v1', 'PersistentVolumeClaim', 'persistentvolumeclaims'),
  Event: kind('v1', 'Event', 'events'),
  ResourceQuota: kind('v1', 'ResourceQuota', 'resourcequotas'),
  Deployment: kind('apps/v1', 'Deployment', 'deployments'),
  ReplicaSet: kind('apps/v1', 'ReplicaSet', 'replicasets'),
  StatefulSet: kind('apps/v1', 'StatefulSet', 'statefulsets'),
  DaemonSet: kind('apps/v1', 'DaemonSet', 'daemonsets'),
  Job: kind('batch/v1', 'Job', 'jobs'),
  CronJob: kind('batch/v1', 'CronJob', 'cronjobs'),
  HorizontalPodAutoscaler: kind(
    'autoscaling/v2',
    'HorizontalPodAutoscaler',
    'horizontalpodautoscalers',
  ),
  PodDisruptionBudget: kind('policy/v1', 'PodDisruptionBudget', 'poddisruptionbudgets'),
  NetworkPolicy: kind('networking.k8s.io/v1', 'NetworkPolicy', 'networkpolicies'),
  Ingress: kind('networking.k8s.io/v1', 'Ingress', 'ingresses'),
  ServiceCIDR: kind('networking.k8s.io/v1', 'ServiceCIDR', 'servicecidrs', false),
  IngressClass: kind('networking.k8s.io/v1', 'IngressClass', 'ingressclasses', false),
  StorageClass: kind('storage.k8s.io/v1', 'StorageClass', 'storageclasses', false),
  HTTPRoute: kind('gateway.networking.k8s.io/v1', 'HTTPRoute', 'httproutes'),
  ReferenceGrant: kind('gateway.networking.k8s.io/v1beta1', 'ReferenceGrant', 'referencegrants'),
  Gateway: kind('gateway.networking.k8s.io/v1', 'Gateway', 'gateways'),
  GatewayClass: kind('gateway.networking.k8s.io/v1', 'GatewayClass', 'gatewayclasses', false),
  Role: kind('rbac.authorization.k8s.io/v1', 'Role', 'roles'),
  RoleBinding: kind('rbac.authorization.k8s.io/v1', 'RoleBinding', 'rolebindings'),
  ClusterRole: kind('rbac.authorization.k8s.io/v1', 'ClusterRole', 'clusterroles', false),
  ClusterRoleBinding: kind(
    'rbac.authorization.k8s.io/v1',
    'ClusterRoleBinding',
    'clusterrolebindings',
    false,
  ),
  SelfSubjectAccessReview: kind(
    'authorization.k8s.io/v1',
    'SelfSubjectAccessReview',
    'selfsubjectaccessreviews',
    false,
  ),
  TokenReview: kind('authentication.k8s.io/v1', 'TokenReview', 'tokenreviews', false),
  ValidatingAdmissionPolicy: kind(
    'admissionregistration.k8s.io/v1',
    'ValidatingAdmissionPolicy',
    'validatingadmissionpolicies',
    false,
  ),
  ValidatingAdmissionPolicyBinding: kind(
    'admissionregistration.k8s.io/v1',
    'ValidatingAdmissionPolicyBinding',
    'validatingadmissionpolicybindings',
    false,
  ),
  PodMetrics: kind('metrics.k8s.io/v1beta1', 'PodMetrics', 'pods'),
})

/** Null for a kind that the engine does not know. */
export function kindOf(apiVersion: string, name: string): Kind | null {
  const found = Object.values(KINDS).find(
    (candidate) => candidate.kind === name && candidate.apiVersion === apiVersion,
  )
  return found ?? null
}

/** `/apis/apps/v1/namespaces/shop--production/deployments/web-a`. */
export function pathOf(
  { apiVersion, plural, namespaced }: Kind,
  namespace: string | null,
  name: string | null = null,
): string {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const scope =
    namespaced && namespace !== null ? `/namespaces/${encodeURIComponent(namespace)}` : ''
  return `${root}${scope}/${plural}${name === null ? '' : `/${encodeURIComponent(name)}`}`
}
