import type { SandboxRequest } from '../model/sandbox.ts'
import { kubeObject, type KubeObject, type Labels } from './object.ts'
import { CONTAINER_SECURITY_CONTEXT, podSecurityContext, UNPRIVILEGED_ID } from './pod-security.ts'

/** The folder that all containers of a step share. */
export const SHARED = '/step'
/** Made in it when everything that the step needs is there. */
export const READY_FILE = '.ready'
export const RECEIVER = 'receive'
export const STEP = 'step'
export const SENDER = 'send'
/** Exit code of the sender: the step wrote more than it may. */
export const TOO_MUCH = 75
const PACKAGES_LABEL = 'fairway/packages'
const STEP_LABEL = 'fairway/build-step'
const MIB = 1024 ** 2
/** Beyond its start, waiting and sending: a server that died leaves no step behind. */
const AROUND_SECONDS = 1_800
const KEPT_SECONDS = 60

export interface BuildStepPlan {
  readonly namespace: string
  readonly name: string
  /** References by digest: of the files that the step sees, and of the control plane, whose program brings them and takes the result. */
  readonly image: string
  readonly courier: string
  readonly pullSecrets: readonly string[]
  readonly request: SandboxRequest
  /** Bytes of its inputs: they are on the same disk as what it makes. */
  readonly inputBytes: number
}

/** Names below the shared folder, in the order of the request: `work`, `cache-0`, …, `file-0`, …. */
export interface SharedFolders {
  readonly work: string
  readonly caches: readonly string[]
  readonly files: readonly string[]
}

export function sharedFolders({ caches, readOnly }: SandboxRequest): SharedFolders {
  return {
    work: 'work',
    caches: caches.map((_cache, at) => `cache-${String(at)}`),
    files: readOnly.map((_file, at) => `file-${String(at)}`),
  }
}

/**
 * One step of a build as a Job: no token, no root, nothing writable but its own folders, limits as on a machine. The first container waits for the inputs, the second runs the step, the
 * third watches how much it writes and hands over what it made. It never runs twice.
 */
export function planBuildStep(plan: BuildStepPlan): KubeObject {
  const { request } = plan
  const labels = {
    ...BUILD_LABELS,
    [STEP_LABEL]: plan.name,
    ...(request.network ? { [PACKAGES_LABEL]: 'true' } : {}),
  }
  const seconds = Math.ceil(request.limits.timeoutMs / 1000) + AROUND_SECONDS
  return kubeObject({
    apiVersion: 'batch/v1',
    kind: 'Job',
    name: plan.name,
    namespace: plan.namespace,
    labels,
    fields: {
      spec: {
        backoffLimit: 0,
        activeDeadlineSeconds: seconds,
        ttlSecondsAfterFinished: KEPT_SECONDS,
        template: { metadata: { labels, annotations: STAYS }, spec: podOf(plan) },
      },
    },
  })
}

/** What all steps need once: their namespace, from which nothing gets out, and logins for the two images. */
export function planBuildNamespace(
  namespace: string,
  labels: Labels,
  pullSecrets: readonly { readonly name: string; readonly dockerConfigJson: string }[],
): readonly KubeObject[] {
  return [
    kubeObject({
      apiVersion: 'v1',
      kind: 'Namespace',
      name: namespace,
      namespace: null,
      labels: { ...labels, ...RESTRICTED },
      fields: {},
    }),
    kubeObject({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      name: 'nothing',
      namespace,
      labels,
      fields: { spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] } },
    }),
    ...pullSecrets.map(({ name, dockerConfigJson }) =>
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
    ),
  ]
}

/** Lets steps that may use the network out to package sources, and to nothing else. @param egress as `packageEgress` makes it */
export function planPackagePolicy(namespace: string, egress: readonly unknown[]): KubeObject {
  return kubeObject({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    name: 'packages',
    namespace,
    labels: BUILD_LABELS,
    fields: {
      spec: {
        podSelector: { matchLabels: { [PACKAGES_LABEL]: 'true' } },
        policyTypes: ['Egress'],
        egress,
      },
    },
  })
}

/** Selects the pod of a step. */
export function stepSelector(name: string): string {
  return `${STEP_LABEL}=${name}`
}

// Private

const BUILD_LABELS: Labels = Object.freeze({
  'app.kubernetes.io/name': 'fairway-build',
  'app.kubernetes.io/managed-by': 'fairway',
})
const RESTRICTED: Labels = Object.freeze({
  'pod-security.kubernetes.io/enforce': 'restricted',
  'pod-security.kubernetes.io/audit': 'restricted',
  'pod-security.kubernetes.io/warn': 'restricted',
})
/** A build that is moved begins anew: autoscalers leave its node alone for the time it takes. */
const STAYS: Labels = Object.freeze({
  'cluster-autoscaler.kubernetes.io/safe-to-evict': 'false',
  'karpenter.sh/do-not-disrupt': 'true',
})

function podOf(plan: BuildStepPlan): unknown {
  const { request, inputBytes } = plan
  const { disk, memory } = request.limits
  return {
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 1,
    imagePullSecrets: plan.pullSecrets.map((name) => ({ name })),
    securityContext: podSecurityContext({ uid: UNPRIVILEGED_ID, gid: UNPRIVILEGED_ID }, null),
    initContainers: [courierOf(plan, RECEIVER, ['wait'])],
    containers: [stepOf(plan), courierOf(plan, SENDER, ['watch', String(inputBytes + disk)])],
    volumes: [
      // The sender ends the step at the limit that is counted; this one is the kubelet's, which looks seldom.
      { name: 'step', emptyDir: { sizeLimit: String(inputBytes + disk + 256 * MIB) } },
      { name: 'tmp', emptyDir: { sizeLimit: String(Math.ceil(memory / 2)) } },
    ],
  }
}

function stepOf({ image, request }: BuildStepPlan): unknown {
  const { cpu, memory } = request.limits
  const shared = sharedFolders(request)
  const mount = (subPath: string, mountPath: string, readOnly = false): unknown => ({
    name: 'step',
    subPath,
    mountPath,
    ...(readOnly ? { readOnly } : {}),
  })
  return {
    name: STEP,
    image,
    imagePullPolicy: 'IfNotPresent',
    command: request.argv,
    env: Object.entries({ PATH: '/usr/local/bin:/usr/bin:/bin', HOME: '/tmp', ...request.env }).map(
      // `$(NAME)` is replaced in values unless the dollar stands twice.
      ([name, value]) => ({ name, value: value.replaceAll('$(', '$$$$(') }),
    ),
    workingDir: request.cwd,
    resources: {
      requests: {
        cpu: `${String(Math.min(250, cpu * 1000))}m`,
        memory: String(Math.min(memory, 256 * MIB)),
      },
      limits: { cpu: String(cpu), memory: String(memory) },
    },
    securityContext: CONTAINER_SECURITY_CONTEXT,
    volumeMounts: [
      { name: 'tmp', mountPath: '/tmp' },
      mount(shared.work, request.workMount),
      ...request.caches.map((cache, at) => mount(`cache-${String(at)}`, cache.mount)),
      ...request.readOnly.map((file, at) => mount(`file-${String(at)}`, file.mount, true)),
    ],
    terminationMessagePolicy: 'FallbackToLogsOnError',
  }
}

function courierOf({ courier }: BuildStepPlan, name: string, args: readonly string[]): unknown {
  return {
    name,
    image: courier,
    imagePullPolicy: 'IfNotPresent',
    command: ['node', 'src/bin/courier.ts', ...args, SHARED],
    resources: {
      requests: { cpu: '50m', memory: '64Mi' },
      limits: { cpu: '1', memory: '256Mi' },
    },
    securityContext: CONTAINER_SECURITY_CONTEXT,
    volumeMounts: [{ name: 'step', mountPath: SHARED }],
    terminationMessagePolicy: 'FallbackToLogsOnError',
  }
}
