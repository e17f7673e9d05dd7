import { CLUSTER_ROLES } from '../model/kube-access.ts'
import { accessName } from './access-names.ts'
import { ACCOUNT, bindingName } from './access-plan.ts'
import { groupOf, neededRights, SECRETS_RIGHT, type Right } from './doctor.ts'
import { CLAIM_SECRET } from './home-pod.ts'
import { KINDS, type Kind } from './kinds.ts'
import { kubeObject, type KubeObject, type Labels } from './object.ts'
import { PLATFORM, type PlatformPlan } from './plan-platform.ts'

/** Who the control plane is in the cluster and what it may: what the engine needs for apps, and in its own namespace its label and its claim code. */
export function planPlatformRights(plan: PlatformPlan, labels: Labels): readonly KubeObject[] {
  const { namespace } = plan
  const subjects = [{ kind: 'ServiceAccount', name: PLATFORM, namespace }]
  const shared = { apiVersion: RBAC, labels }
  return [
    kubeObject({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      name: PLATFORM,
      namespace,
      labels,
      fields: { automountServiceAccountToken: false },
    }),
    // Named after the namespace: there may be two control planes on one cluster.
    kubeObject({
      ...shared,
      kind: 'ClusterRole',
      name: namespace,
      namespace: null,
      fields: { rules: clusterRules() },
    }),
    kubeObject({
      ...shared,
      kind: 'ClusterRoleBinding',
      name: namespace,
      namespace: null,
      fields: { roleRef: roleRef('ClusterRole', namespace), subjects },
    }),
    ...(plan.accessNodePort === null ? [] : accessRights(plan, shared, subjects)),
    kubeObject({
      ...shared,
      kind: 'Role',
      name: PLATFORM,
      namespace,
      fields: {
        rules: [
          { apiGroups: [''], resources: ['pods'], verbs: ['get', 'patch'] },
          {
            apiGroups: [''],
            resources: ['secrets'],
            resourceNames: [CLAIM_SECRET],
            verbs: ['get', 'patch'],
          },
        ],
      },
    }),
    kubeObject({
      ...shared,
      kind: 'RoleBinding',
      name: PLATFORM,
      namespace,
      fields: { roleRef: roleRef('Role', PLATFORM), subjects },
    }),
  ]
}

// Private

const RBAC = 'rbac.authorization.k8s.io/v1'
/** What is looked at and never written: what the cluster has, why copies do not start. */
const READ: readonly Kind[] = [
  KINDS.Node,
  KINDS.Event,
  KINDS.DaemonSet,
  KINDS.StorageClass,
  KINDS.IngressClass,
  KINDS.ServiceCIDR,
  KINDS.Gateway,
  KINDS.GatewayClass,
  KINDS.PodMetrics,
]

interface Rule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
}

/**
 * What people's kubectl needs (access-plan.ts), by name where Kubernetes can: it may write the one role by which its proxy acts as people, and bind that and the
 * roles that every cluster has for users. `escalate`: it does not hold what that role says.
 */
function accessRights(
  { namespace, owner }: PlatformPlan,
  shared: { readonly apiVersion: string; readonly labels: Labels },
  subjects: readonly unknown[],
): readonly KubeObject[] {
  const name = `${namespace}-access`
  const own = accessName(owner)
  const bindings = Object.keys(CLUSTER_ROLES).map(bindingName)
  const written = ['get', 'create', 'patch', 'delete']
  const rbac = (resource: string, verbs: readonly string[], resourceNames?: readonly string[]) => ({
    apiGroups: ['rbac.authorization.k8s.io'],
    resources: [resource],
    verbs,
    ...(resourceNames === undefined ? {} : { resourceNames }),
  })
  const rules = [
    rbac('clusterroles', [...written, 'escalate', 'bind'], [own]),
    rbac('clusterroles', ['bind'], [...new Set(Object.values(CLUSTER_ROLES))].sort()),
    rbac('clusterrolebindings', written, [own]),
    rbac('rolebindings', written, bindings),
    rbac('rolebindings', ['list']),
    {
      apiGroups: [''],
      resources: ['serviceaccounts/token'],
      verbs: ['create'],
      resourceNames: [ACCOUNT],
    },
  ]
  return [
    kubeObject({ ...shared, kind: 'ClusterRole', name, namespace: null, fields: { rules } }),
    kubeObject({
      ...shared,
      kind: 'ClusterRoleBinding',
      name,
      namespace: null,
      fields: { roleRef: roleRef('ClusterRole', name), subjects },
    }),
  ]
}

/** One rule for all resources of a group that are used alike. */
function clusterRules(): readonly Rule[] {
  const rights: readonly Right[] = [
    ...neededRights([KINDS.Ingress, KINDS.HTTPRoute]),
    ...READ.flatMap((kind) =>
      ['get', 'list', 'watch'].map((verb) => ({
        group: groupOf(kind),
        resource: kind.plural,
        verb,
      })),
    ),
    // Drains and notices.
    { group: '', resource: 'nodes', verb: 'patch' },
    { group: '', resource: 'pods', subresource: 'eviction', verb: 'create' },
    { group: '', resource: 'persistentvolumes', verb: 'get' },
    SECRETS_RIGHT,
    ...[KINDS.Deployment, KINDS.StatefulSet].map((kind) => ({
      group: groupOf(kind),
      resource: kind.plural,
      subresource: 'scale',
      verb: 'patch',
    })),
  ]
  const verbs = new Map<string, Set<string>>()
  for (const { group, resource, subresource, verb } of rights) {
    const key = `${group}|${resource}${subresource === undefined ? '' : `/${subresource}`}`
    verbs.set(key, (verbs.get(key) ?? new Set()).add(verb))
  }
  const rules = new Map<string, string[]>()
  for (const [key, allowed] of verbs) {
    const [group = '', resource = ''] = key.split('|')
    const rule = `${group}|${[...allowed].sort().join(',')}`
    rules.set(rule, [...(rules.get(rule) ?? []), resource])
  }
  return [...rules]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, resources]) => {
      const [group = '', allowed = ''] = key.split('|')
      return { apiGroups: [group], resources: resources.sort(), verbs: allowed.split(',') }
    })
}

function roleRef(kind: 'Role' | 'ClusterRole', name: string): unknown {
  return { apiGroup: 'rbac.authorization.k8s.io', kind, name }
}
