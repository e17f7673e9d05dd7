import { accessGroup, CLUSTER_ROLES } from '../model/kube-access.ts'
import type { AppRef } from '../model/names.ts'
import { accessName } from './access-names.ts'
import { LABELS, namespaceOf } from './labels.ts'
import { kubeObject, type KubeObject, type Labels } from './object.ts'

/** On everything that gives people access, with the owner's name: the engine's own objects are found by another label. */
export const ACCESS_LABEL = 'fairway/access'

/** Pure: in each app's namespace one RoleBinding per role, from a group to a ClusterRole that every cluster has. */
export function planBindings(refs: readonly AppRef[], owner: string): readonly KubeObject[] {
  return refs.flatMap((ref) =>
    Object.entries(CLUSTER_ROLES).map(([role, clusterRole]) =>
      kubeObject({
        apiVersion: RBAC,
        kind: 'RoleBinding',
        name: bindingName(role),
        namespace: namespaceOf(ref),
        labels: {
          ...accessLabels(owner),
          [LABELS.app]: ref.app,
          [LABELS.environment]: ref.environment,
        },
        fields: {
          roleRef: roleRef(clusterRole),
          subjects: [
            {
              apiGroup: 'rbac.authorization.k8s.io',
              kind: 'Group',
              name: accessGroup(namespaceOf(ref), role),
            },
          ],
        },
      }),
    ),
  )
}

/** Of the RoleBinding of a role in an app's namespace. */
export function bindingName(role: string): string {
  return `fairway--access-${role}`
}

/**
 * Pure: the account by which the proxy reaches the cluster. It may act as exactly these users and groups and do nothing else: a request that lost the headers
 * which say as whom it is made would be refused.
 */
export function planAccount(
  as: { readonly users: readonly string[]; readonly groups: readonly string[] },
  owner: string,
): readonly KubeObject[] {
  const name = accessName(owner)
  const labels = accessLabels(owner)
  const rule = (resource: string, names: readonly string[]): readonly unknown[] =>
    // RBAC: without resourceNames a rule is about all of them.
    names.length === 0
      ? []
      : [{ apiGroups: [''], resources: [resource], verbs: ['impersonate'], resourceNames: names }]
  return [
    kubeObject({
      apiVersion: 'v1',
      kind: 'Namespace',
      name,
      namespace: null,
      labels: { ...labels, 'pod-security.kubernetes.io/enforce': 'restricted' },
      fields: {},
    }),
    kubeObject({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      name: ACCOUNT,
      namespace: name,
      labels,
      fields: { automountServiceAccountToken: false },
    }),
    kubeObject({
      apiVersion: RBAC,
      kind: 'ClusterRole',
      name,
      namespace: null,
      labels,
      fields: { rules: [...rule('users', as.users), ...rule('groups', as.groups)] },
    }),
    kubeObject({
      apiVersion: RBAC,
      kind: 'ClusterRoleBinding',
      name,
      namespace: null,
      labels,
      fields: {
        roleRef: roleRef(name),
        subjects: [{ kind: 'ServiceAccount', name: ACCOUNT, namespace: name }],
      },
    }),
  ]
}

/** Name of the ServiceAccount in the namespace `accessName(owner)`. */
export const ACCOUNT = 'access'

// Private

const RBAC = 'rbac.authorization.k8s.io/v1'

function accessLabels(owner: string): Labels {
  return { [LABELS.managedBy]: 'fairway', [ACCESS_LABEL]: owner }
}

function roleRef(name: string): unknown {
  return { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name }
}
