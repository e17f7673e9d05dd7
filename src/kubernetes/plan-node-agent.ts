import { NOTICES_ANNOTATION } from './node-notices.ts'
import { kubeObject, type KubeObject, type Labels } from './object.ts'
import { CONTAINER_SECURITY_CONTEXT, podSecurityContext, UNPRIVILEGED_ID } from './pod-security.ts'

/** What the objects of the node agent depend on. Equal input gives equal objects. */
export interface NodeAgentPlan {
  /** Of the platform; it must be there. */
  readonly namespace: string
  /** Reference by digest of the platform's own image. */
  readonly image: string
  readonly pullSecret: string | null
  /** On every object. */
  readonly labels: Labels
  /** Where the metadata service answers; null = where EC2 has it. */
  readonly metadataUrl: string | null
}

const NAME = 'fairway-node-agent'
const RBAC = 'rbac.authorization.k8s.io/v1'
const ADMISSION = 'admissionregistration.k8s.io/v1'

/**
 * One program on every node that tells the cluster what the provider announces for it. It may do one thing, to patch nodes, and a rule of the API server's own
 * (ValidatingAdmissionPolicy) narrows that down to one annotation of the node that its pod runs on.
 */
export function planNodeAgent(plan: NodeAgentPlan): readonly KubeObject[] {
  const { namespace, labels } = plan
  // Named after the namespace where they belong to none: there may be two control planes on one cluster.
  const wide = `${namespace}-node-agent`
  const subjects = [{ kind: 'ServiceAccount', name: NAME, namespace }]
  const object = (
    apiVersion: string,
    kind: string,
    name: string,
    fields: Readonly<Record<string, unknown>>,
  ): KubeObject =>
    kubeObject({
      apiVersion,
      kind,
      name,
      namespace: name === wide ? null : namespace,
      labels,
      fields,
    })
  return [
    object('v1', 'ServiceAccount', NAME, { automountServiceAccountToken: false }),
    object(RBAC, 'ClusterRole', wide, {
      rules: [{ apiGroups: [''], resources: ['nodes'], verbs: ['patch'] }],
    }),
    object(RBAC, 'ClusterRoleBinding', wide, {
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: wide },
      subjects,
    }),
    object(ADMISSION, 'ValidatingAdmissionPolicy', wide, { spec: ownNodeOnly(namespace) }),
    object(ADMISSION, 'ValidatingAdmissionPolicyBinding', wide, {
      spec: { policyName: wide, validationActions: ['Deny'] },
    }),
    object('apps/v1', 'DaemonSet', NAME, { spec: daemonSet(plan) }),
  ]
}

// Private

/** The node that a token was given for stands in it (KEP-4193, on by default since Kubernetes 1.32). */
const NODE_OF_TOKEN = 'authentication.kubernetes.io/node-name'

function ownNodeOnly(namespace: string): unknown {
  const extra = `request.userInfo.extra['${NODE_OF_TOKEN}']`
  const annotations = (of: string): string =>
    `(has(${of}.metadata.annotations) ? ${of}.metadata.annotations : {})`
  const [now, before] = [annotations('object'), annotations('oldObject')]
  const same = (a: string, b: string): string =>
    `${a}.all(k, k == '${NOTICES_ANNOTATION}' || (k in ${b} && ${b}[k] == ${a}[k]))`
  const labels = (of: string): string => `(has(${of}.metadata.labels) ? ${of}.metadata.labels : {})`
  return {
    failurePolicy: 'Fail',
    matchConstraints: {
      resourceRules: [
        { apiGroups: [''], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['nodes'] },
      ],
    },
    matchConditions: [
      {
        name: 'node-agent',
        expression: `request.userInfo.username == 'system:serviceaccount:${namespace}:${NAME}'`,
      },
    ],
    validations: [
      {
        expression: `has(request.userInfo.extra) && '${NODE_OF_TOKEN}' in request.userInfo.extra && ${extra}[0] == object.metadata.name`,
        message: 'the node agent may change the node that it runs on only',
      },
      {
        expression: `object.spec == oldObject.spec && ${labels('object')} == ${labels('oldObject')} && ${same(now, before)} && ${same(before, now)}`,
        message: `the node agent may change the annotation ${NOTICES_ANNOTATION} only`,
      },
    ],
  }
}

function daemonSet(plan: NodeAgentPlan): unknown {
  const selector = {
    'app.kubernetes.io/name': 'fairway',
    'app.kubernetes.io/component': 'node-agent',
  }
  return {
    revisionHistoryLimit: 2,
    selector: { matchLabels: selector },
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '20%' } },
    template: {
      metadata: { labels: { ...plan.labels, ...selector } },
      spec: {
        serviceAccountName: NAME,
        automountServiceAccountToken: true,
        enableServiceLinks: false,
        // Another process is pid 1, which the kernel gives no signal that it does not handle.
        shareProcessNamespace: true,
        priorityClassName: 'system-node-critical',
        terminationGracePeriodSeconds: 10,
        // On every node, also on those that nothing else is let on.
        tolerations: [{ operator: 'Exists' }],
        ...(plan.pullSecret === null ? {} : { imagePullSecrets: [{ name: plan.pullSecret }] }),
        securityContext: podSecurityContext({ uid: UNPRIVILEGED_ID, gid: UNPRIVILEGED_ID }, null),
        containers: [container(plan)],
        volumes: [{ name: 'tmp', emptyDir: { sizeLimit: '64Mi' } }],
      },
    },
  }
}

function container({ image, metadataUrl }: NodeAgentPlan): unknown {
  const at = metadataUrl === null ? [] : ['--metadata-url', metadataUrl]
  return {
    name: 'node-agent',
    image,
    imagePullPolicy: 'IfNotPresent',
    command: ['node', 'src/bin/node-agent.ts', '--node', '$(NODE_NAME)', ...at],
    env: [
      { name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
      { name: 'NODE_COMPILE_CACHE', value: '/tmp/compile' },
    ],
    resources: {
      requests: { cpu: '10m', memory: '64Mi', 'ephemeral-storage': '16Mi' },
      limits: { cpu: '500m', memory: '192Mi', 'ephemeral-storage': '128Mi' },
    },
    securityContext: CONTAINER_SECURITY_CONTEXT,
    volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
    terminationMessagePolicy: 'FallbackToLogsOnError',
  }
}
