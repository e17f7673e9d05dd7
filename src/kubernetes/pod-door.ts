/** The way from the pods of apps to the server: for what they may have and no object of the cluster should hold. */
import type { InstanceNeed } from '../model/instance-secrets.ts'
import type { AppRef } from '../model/names.ts'
import type { InstanceSecrets } from '../model/secrets.ts'
import { LABELS, namespaceOf } from './labels.ts'
import { kubeObject, type KubeObject, type Labels } from './object.ts'
import { ownershipLabels } from './ownership.ts'
import type { BaseSettings } from './plan-settings.ts'
import { CONTAINER_SECURITY_CONTEXT } from './pod-security.ts'

/** What a plan has to know of it. */
export interface PodDoor {
  /** Reference by digest of the image with the programs that ask (src/bin/helper-files.ts). */
  readonly image: string
  /** PEM of the authority that the server's certificate must come from. */
  readonly ca: string
  /** Where each is asked for, https as pods reach it, and whom the token must be made for. */
  readonly needs: Readonly<
    Record<InstanceNeed, { readonly url: string; readonly audience: string }>
  >
  /** What stands behind those URLs, for network policies. Without any the rules for the world hold. */
  readonly peers: readonly DoorPeer[]
  readonly port: number
}

export type DoorPeer =
  { readonly cidr: string } | { readonly namespace: string; readonly labels: Labels }

/** The same as an engine is given it: the door is made when the first app that needs it asks. */
export interface EngineDoor {
  readonly audiences: Readonly<Record<InstanceNeed, string>>
  /** Opens what the server itself has to know of values: variables, and when a value is another one. */
  readonly values: InstanceSecrets
  /** @throws FairwayError RUNNER_UNAVAILABLE where pods cannot reach the server, REGISTRY_FAILED */
  readonly door: () => Promise<PodDoor>
}

/** What a program of ours adds to a pod; all empty where it has none. */
export interface HelperParts {
  readonly env: readonly Variable[]
  readonly initContainers: readonly unknown[]
  readonly volumes: readonly unknown[]
  readonly mounts: readonly unknown[]
}

export const NO_HELPER: HelperParts = Object.freeze({
  env: [],
  initContainers: [],
  volumes: [],
  mounts: [],
})

export interface Variable {
  readonly name: string
  readonly value: string
}

/** On pods that call the server. */
export const CALLS_SERVER: Labels = Object.freeze({ [LABELS.calls]: 'server' })
const POLICY = 'fairway--server'
/** The shortest life that Kubernetes gives such a token. */
const TOKEN_SECONDS = 600
const TOKEN_FOLDER = '/var/run/fairway'

export interface Helper {
  readonly need: InstanceNeed
  /** Path in its image. */
  readonly program: string
  /** Folder in memory that it fills and the app reads. */
  readonly folder: string
  /** Most bytes of that folder. */
  readonly bytes: number
  /** Prefix of its variables: `FAIRWAY_SECRETS`, also the one that names the folder. */
  readonly prefix: string
  readonly memory: { readonly limit: string; readonly request: string }
  /** Fields of its container beside those that all have. */
  readonly fields: Readonly<Record<string, unknown>>
}

/**
 * A program of ours beside the app's, as the same user: it shows a token that is good for nothing else, which only it has mounted, and writes what it gets into
 * memory that the app then sees read-only.
 * @param variables for the app
 */
export function helperParts(
  { need, program, folder, bytes, prefix, memory, fields }: Helper,
  { image, ca, needs }: PodDoor,
  variables: Readonly<Record<string, string>>,
): HelperParts {
  const { url, audience } = needs[need]
  const own = { name: need, mountPath: folder }
  const token = { name: `${need}-token`, mountPath: TOKEN_FOLDER, readOnly: true }
  const container = {
    name: need,
    image,
    imagePullPolicy: 'IfNotPresent',
    command: ['node', program],
    env: literals({
      [prefix]: folder,
      [`${prefix}_CA`]: ca,
      [`${prefix}_TOKEN`]: `${TOKEN_FOLDER}/token`,
      [`${prefix}_URL`]: url,
      HOME: '/tmp',
    }),
    resources: {
      limits: { cpu: '1', memory: memory.limit },
      requests: { cpu: '10m', memory: memory.request },
    },
    securityContext: CONTAINER_SECURITY_CONTEXT,
    volumeMounts: [own, token],
    // Why it ended is then in the pod's status; it never prints a value.
    terminationMessagePolicy: 'FallbackToLogsOnError',
    ...fields,
  }
  const source = {
    serviceAccountToken: { audience, expirationSeconds: TOKEN_SECONDS, path: 'token' },
  }
  return {
    env: literals(variables),
    initContainers: [container],
    volumes: [
      { name: own.name, emptyDir: { medium: 'Memory', sizeLimit: String(bytes) } },
      { name: token.name, projected: { sources: [source] } },
    ],
    mounts: [{ ...own, readOnly: true }],
  }
}

/** Lets the pods that call the server reach it, and no others. It belongs to a Job where that asks for it. */
export function planDoorPolicy(
  ref: AppRef,
  callsServer: boolean,
  { owner, podDoor = null }: Pick<BaseSettings, 'owner' | 'podDoor'>,
  job: { readonly name: string; readonly labels: Labels } | null = null,
): readonly KubeObject[] {
  if (podDoor === null || podDoor.peers.length === 0 || !callsServer) return []
  const matchLabels = job === null ? CALLS_SERVER : { ...CALLS_SERVER, [LABELS.job]: job.name }
  return [
    kubeObject({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      name: job === null ? POLICY : `${job.name}--server`,
      namespace: namespaceOf(ref),
      labels: job?.labels ?? ownershipLabels({ ref, owner }),
      fields: {
        spec: {
          podSelector: { matchLabels },
          policyTypes: ['Egress'],
          egress: [
            { to: podDoor.peers.map(peer), ports: [{ protocol: 'TCP', port: podDoor.port }] },
          ],
        },
      },
    }),
  ]
}

// Private

/** Kubernetes fills in `$(NAME)` in values; `$$` is its plain `$`. */
function literals(values: Readonly<Record<string, string>>): readonly Variable[] {
  return Object.entries(values)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => ({ name, value: value.replaceAll('$', '$$$$') }))
}

function peer(one: DoorPeer): unknown {
  if ('cidr' in one) return { ipBlock: { cidr: one.cidr } }
  return {
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': one.namespace } },
    podSelector: { matchLabels: one.labels },
  }
}
