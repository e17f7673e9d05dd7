import type { PlatformSettings } from '../model/installer.ts'
import { CLAIM_SECRET, ROLE_LABEL } from './home-pod.ts'
import { kubeObject, type KubeObject, type Labels } from './object.ts'
import { CONTAINER_SECURITY_CONTEXT, podSecurityContext, UNPRIVILEGED_ID } from './pod-security.ts'
import { planBuildNamespace } from './plan-build-step.ts'
import { planNodeAgent } from './plan-node-agent.ts'
import {
  packagesConfig,
  packagesMount,
  packagesVolume,
  type PlatformPackages,
} from './plan-platform-packages.ts'
import { planPlatformPostgres } from './plan-platform-postgres.ts'
import { planPlatformRegistry } from './plan-platform-registry.ts'
import { planPlatformRights } from './plan-platform-rights.ts'
import {
  settingsFingerprint,
  settingsMounts,
  settingsSecrets,
  settingsSources,
  settingsVariables,
  settingsVolumes,
} from './plan-platform-settings.ts'
import type { PullSecret } from './plan-settings.ts'

/** Everything that the control plane's objects depend on. Equal input gives equal objects. */
export interface PlatformPlan {
  readonly namespace: string
  /** Name of the installation that installs: what carries another one's is not touched. */
  readonly installer: string
  /** Under which name its own cluster is a target of the new control plane. */
  readonly target: string
  /** Reference by digest of the image `fairway-server`. */
  readonly image: string
  readonly pullSecret: PullSecret | null
  /** With `image`: one PostgreSQL beside it, reached at `url`. */
  readonly database: {
    readonly url: string
    readonly own: { readonly image: string; readonly password: string } | null
  }
  /** Where the nodes pull the images of apps; with `own` a registry beside it. */
  readonly registry: {
    readonly settings: Readonly<Record<string, string>>
    readonly own: {
      readonly nodePort: number
      readonly password: string
      /** With which nodes pull. */
      readonly pullPassword: string
    } | null
    readonly pullSecret: PullSecret | null
  }
  /** Further names under which the API is called. */
  readonly hosts: readonly string[]
  /** Also at this port of every node; null = inside of the cluster alone. */
  readonly nodePort: number | null
  /** The same for the listener of pods and kubectl. */
  readonly accessNodePort: number | null
  /** Name under which the new control plane owns what it makes on the cluster. */
  readonly owner: string
  /** What all servers of the installation share and no database has. */
  readonly keys: PlatformKeys
  readonly packages: PlatformPackages
  /** What else its operator has set. */
  readonly given: PlatformSettings
  /** Set: a program on every node that reports termination notices; `metadataUrl` null = where EC2 answers. */
  readonly notices?: { readonly metadataUrl: string | null } | null
}

export interface PlatformKeys {
  /** What secrets in the database are encrypted under, as its file is. */
  readonly serverKey: string
  /** The authority of the listener for pods and kubectl, PEM. */
  readonly ca: string
  readonly caKey: string
}

/** Name of everything that exists once. */
export const PLATFORM = 'fairway'
export const API_PORT = 7070
/** Where pods and kubectl ask, by TLS. */
export const ACCESS_PORT = 7443
export const ACCESS_SERVICE = `${PLATFORM}-access`
export const HEALTH_PORT = 7071
/** Whose the objects are. Another label than that of apps' objects: no engine may take them for an app's. */
export const INSTALLER_LABEL = 'fairway/installer'

/** All objects of a control plane in a cluster. Namespace first; the order beyond that is by `ranked`. */
export function planPlatform(plan: PlatformPlan): readonly KubeObject[] {
  const { namespace } = plan
  const labels = platformLabels(plan)
  return [
    kubeObject({
      apiVersion: 'v1',
      kind: 'Namespace',
      name: namespace,
      namespace: null,
      labels: { ...labels, ...RESTRICTED },
      fields: {},
    }),
    ...planPlatformRights(plan, labels),
    ...pullSecrets(plan, labels),
    ...settingsSecrets(plan),
    packagesConfig(plan),
    object(plan, 'v1', 'Secret', CLAIM_SECRET, { type: 'Opaque' }),
    ...(plan.database.own === null ? [] : planPlatformPostgres(plan, plan.database.own)),
    ...(plan.registry.own === null ? [] : planPlatformRegistry(plan, plan.registry.own)),
    object(plan, 'networking.k8s.io/v1', 'NetworkPolicy', PLATFORM, {
      spec: {
        podSelector: { matchLabels: selector('server') },
        policyTypes: ['Ingress'],
        ingress: [
          {
            ports: [API_PORT, ACCESS_PORT, HEALTH_PORT].map((port) => ({ protocol: 'TCP', port })),
          },
        ],
      },
    }),
    object(plan, 'policy/v1', 'PodDisruptionBudget', PLATFORM, {
      spec: {
        maxUnavailable: 1,
        selector: { matchLabels: selector('server') },
        unhealthyPodEvictionPolicy: 'AlwaysAllow',
      },
    }),
    service(plan),
    accessService(plan),
    deployment(plan),
    ...nodeAgent(plan),
    ...planBuildNamespace(buildNamespace(namespace), labels, buildPulls(plan)),
  ]
}

/** Where build steps of the control plane in `namespace` run. */
export function buildNamespace(namespace: string): string {
  return `${namespace}-builds`
}

/** Logins for the control plane's own image and for those of steps; the kubelet passes over one that is not there. */
export const BUILD_PULL_SECRETS = ['fairway-pull', 'fairway-steps'] as const

export function platformLabels({ installer }: Pick<PlatformPlan, 'installer'>): Labels {
  return {
    'app.kubernetes.io/name': PLATFORM,
    'app.kubernetes.io/part-of': PLATFORM,
    'app.kubernetes.io/managed-by': 'fairway-install',
    [INSTALLER_LABEL]: installer,
  }
}

export type Component = 'server' | 'registry' | 'postgres'

/** Selects the pods of one part. */
export function selector(component: Component): Labels {
  return { 'app.kubernetes.io/name': PLATFORM, 'app.kubernetes.io/component': component }
}

/** An object in the platform's namespace. */
export function object(
  plan: PlatformPlan,
  apiVersion: string,
  kind: string,
  name: string,
  fields: Readonly<Record<string, unknown>>,
): KubeObject {
  const labels = platformLabels(plan)
  return kubeObject({ apiVersion, kind, name, namespace: plan.namespace, labels, fields })
}

/** What the pods of all parts have in common; `token` = it may call the API server. */
export function podBasics(
  plan: PlatformPlan,
  component: Component,
): Readonly<Record<string, unknown>> {
  const token = component === 'server'
  return {
    ...(token ? { serviceAccountName: PLATFORM } : {}),
    automountServiceAccountToken: token,
    enableServiceLinks: false,
    // Another process is pid 1, which the kernel gives no signal that it does not handle.
    shareProcessNamespace: true,
    ...(plan.pullSecret === null ? {} : { imagePullSecrets: [{ name: plan.pullSecret.name }] }),
    securityContext: podSecurityContext({ uid: UNPRIVILEGED_ID, gid: UNPRIVILEGED_ID }, null),
  }
}

export { CONTAINER_SECURITY_CONTEXT }

// Private

const RESTRICTED: Labels = Object.freeze({
  'pod-security.kubernetes.io/enforce': 'restricted',
  'pod-security.kubernetes.io/audit': 'restricted',
  'pod-security.kubernetes.io/warn': 'restricted',
})

function nodeAgent(plan: PlatformPlan): readonly KubeObject[] {
  const { namespace, image, pullSecret, notices = null } = plan
  if (notices === null) return []
  const { metadataUrl } = notices
  const labels = platformLabels(plan)
  return planNodeAgent({
    namespace,
    image,
    pullSecret: pullSecret?.name ?? null,
    labels,
    metadataUrl,
  })
}

function buildPulls({ pullSecret, registry }: PlatformPlan): readonly PullSecret[] {
  const [own, steps] = BUILD_PULL_SECRETS
  const secrets = [
    { name: own, from: pullSecret },
    { name: steps, from: registry.pullSecret },
  ]
  return secrets.flatMap(({ name, from }) =>
    from === null ? [] : [{ name, dockerConfigJson: from.dockerConfigJson }],
  )
}

function pullSecrets(plan: PlatformPlan, labels: Labels): KubeObject[] {
  if (plan.pullSecret === null) return []
  const { name, dockerConfigJson } = plan.pullSecret
  const data = { '.dockerconfigjson': base64(dockerConfigJson) }
  const fields = { type: 'kubernetes.io/dockerconfigjson', data }
  return [
    kubeObject({
      apiVersion: 'v1',
      kind: 'Secret',
      name,
      namespace: plan.namespace,
      labels,
      fields,
    }),
  ]
}

function service(plan: PlatformPlan): KubeObject {
  return activeService(plan, { name: PLATFORM, port: API_PORT, at: 'api', nodePort: plan.nodePort })
}

/** One of its own: a Service of type NodePort would open all of its ports. */
function accessService(plan: PlatformPlan): KubeObject {
  const { accessNodePort: nodePort } = plan
  return activeService(plan, { name: ACCESS_SERVICE, port: ACCESS_PORT, at: 'access', nodePort })
}

function activeService(
  plan: PlatformPlan,
  of: {
    readonly name: string
    readonly port: number
    readonly at: string
    readonly nodePort: number | null
  },
): KubeObject {
  const { name, port, at, nodePort } = of
  const plain = { name: at, port, targetPort: at, protocol: 'TCP' }
  return object(plan, 'v1', 'Service', name, {
    spec: {
      type: nodePort === null ? 'ClusterIP' : 'NodePort',
      selector: { ...selector('server'), [ROLE_LABEL]: 'active' },
      ports: [nodePort === null ? plain : { ...plain, nodePort }],
    },
  })
}

function deployment(plan: PlatformPlan): KubeObject {
  return object(plan, 'apps/v1', 'Deployment', PLATFORM, {
    spec: {
      replicas: 2,
      revisionHistoryLimit: 3,
      selector: { matchLabels: selector('server') },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      template: {
        metadata: {
          labels: { ...platformLabels(plan), ...selector('server') },
          // What a container is told only at its start.
          annotations: { 'fairway/settings': settingsFingerprint(plan) },
        },
        spec: {
          ...podBasics(plan, 'server'),
          // Time to give the lease back and to let answers under way end.
          terminationGracePeriodSeconds: 60,
          topologySpreadConstraints: [
            {
              maxSkew: 1,
              topologyKey: 'kubernetes.io/hostname',
              whenUnsatisfiable: 'ScheduleAnyway',
              labelSelector: { matchLabels: selector('server') },
              matchLabelKeys: ['pod-template-hash'],
            },
          ],
          containers: [container(plan)],
          volumes: [
            { name: 'data', emptyDir: { sizeLimit: '20Gi' } },
            { name: 'tmp', emptyDir: { sizeLimit: '2Gi' } },
            ...settingsVolumes(),
            packagesVolume(),
          ],
        },
      },
    },
  })
}

function container(plan: PlatformPlan): unknown {
  return {
    name: 'server',
    image: plan.image,
    imagePullPolicy: 'IfNotPresent',
    command: ['node', '--expose-gc', 'src/bin/server.ts'],
    ports: [
      { name: 'api', containerPort: API_PORT, protocol: 'TCP' },
      { name: 'access', containerPort: ACCESS_PORT, protocol: 'TCP' },
      { name: 'health', containerPort: HEALTH_PORT, protocol: 'TCP' },
    ],
    env: [...settingsVariables(plan), podName()],
    envFrom: settingsSources(),
    resources: {
      requests: { cpu: '100m', memory: '192Mi', 'ephemeral-storage': '1Gi' },
      limits: { cpu: '2', memory: '1Gi', 'ephemeral-storage': '24Gi' },
    },
    securityContext: CONTAINER_SECURITY_CONTEXT,
    startupProbe: { ...probe('/healthz'), periodSeconds: 1, failureThreshold: 120 },
    readinessProbe: { ...probe('/readyz'), periodSeconds: 2, failureThreshold: 3 },
    livenessProbe: { ...probe('/healthz'), periodSeconds: 10, failureThreshold: 6 },
    volumeMounts: [
      { name: 'data', mountPath: '/var/lib/fairway' },
      { name: 'tmp', mountPath: '/tmp' },
      ...settingsMounts(),
      packagesMount(),
    ],
    terminationMessagePolicy: 'FallbackToLogsOnError',
  }
}

function podName(): unknown {
  return { name: 'FAIRWAY_POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }
}

function probe(path: string): Readonly<Record<string, unknown>> {
  return { httpGet: { path, port: 'health' }, timeoutSeconds: 5 }
}

export function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
