import type { AppRef } from '../model/names.ts'
import { FairwayError } from '../model/errors.ts'
import {
  folderVariables,
  hasSecretFiles,
  MAX_PRIVATE_BYTES,
  MAX_PRIVATE_FILES,
  type InstanceSecrets,
  type SecretPlan,
} from '../model/secrets.ts'
import { LABELS, namespaceOf } from './labels.ts'
import { kubeObject, type KubeObject, type Labels } from './object.ts'
import { ownershipLabels } from './ownership.ts'
import type { BaseSettings } from './plan-settings.ts'
import { CONTAINER_SECURITY_CONTEXT } from './pod-security.ts'

/** How the pods of a cluster come to their values: who fetches them, and where. */
export interface SecretsDoor {
  /** Reference by digest of the image with the program that fetches (src/bin/secrets-fetcher.ts). */
  readonly image: string
  /** https URL of the server as pods reach it, with the path. */
  readonly url: string
  /** PEM of the authority that its certificate must come from. */
  readonly ca: string
  readonly audience: string
  /** What stands behind that URL, for network policies. Without any the rules for the world hold. */
  readonly peers: readonly DoorPeer[]
  readonly port: number
}

/** The same as an engine is given it: the door is made when the first app with values asks. */
export interface EngineSecrets {
  readonly audience: string
  /** Opens what the server itself has to know of them: variables, and when a value is another one. */
  readonly values: InstanceSecrets
  /** @throws FairwayError RUNNER_UNAVAILABLE where pods cannot reach the server, REGISTRY_FAILED */
  readonly door: () => Promise<SecretsDoor>
}

export type DoorPeer =
  { readonly cidr: string } | { readonly namespace: string; readonly labels: Labels }

/** The init container that fetches. */
export const FETCHER = 'secrets'
/** In the image that is made for it. */
export const FETCHER_PROGRAM = '/app/src/bin/secrets-fetcher.ts'
export const SECRETS_FOLDER = '/run/secrets'
const TOKEN_FOLDER = '/var/run/fairway'
/** The shortest life that Kubernetes gives such a token. */
const TOKEN_SECONDS = 600
/** A file takes whole pages of memory. */
const PAGE = 4096
const POLICY = 'fairway--secrets'

/** The parts of a pod that has values as files; all empty for one that has none. */
export interface SecretsParts {
  readonly labels: Labels
  readonly env: readonly { readonly name: string; readonly value: string }[]
  readonly initContainers: readonly unknown[]
  readonly volumes: readonly unknown[]
  readonly mounts: readonly unknown[]
}

const NONE: SecretsParts = Object.freeze({
  labels: {},
  env: [],
  initContainers: [],
  volumes: [],
  mounts: [],
})

/**
 * A program of ours runs before the app's, as the same user: it shows a token that is good for nothing else, which only it has mounted, and writes what it
 * gets into memory that the app then sees read-only. No value is in any object. @throws FairwayError RUNNER_UNAVAILABLE where no door is known
 */
export function secretsParts(
  plan: SecretPlan | undefined,
  { secrets = null }: Pick<BaseSettings, 'secrets'>,
): SecretsParts {
  if (!hasSecretFiles(plan)) return NONE
  if (secrets === null)
    throw new FairwayError('RUNNER_UNAVAILABLE', 'nobody gives values to the pods of this cluster')
  const folder = { name: 'secrets', mountPath: SECRETS_FOLDER }
  const token = { name: 'secrets-token', mountPath: TOKEN_FOLDER, readOnly: true }
  return {
    labels: { [LABELS.secrets]: 'files' },
    env: variables(folderVariables('secrets', SECRETS_FOLDER)),
    initContainers: [fetcher(secrets, [folder, token])],
    volumes: [
      {
        name: folder.name,
        emptyDir: {
          medium: 'Memory',
          sizeLimit: String(MAX_PRIVATE_BYTES + MAX_PRIVATE_FILES * 2 * PAGE),
        },
      },
      {
        name: token.name,
        projected: {
          sources: [
            {
              serviceAccountToken: {
                audience: secrets.audience,
                expirationSeconds: TOKEN_SECONDS,
                path: 'token',
              },
            },
          ],
        },
      },
    ],
    mounts: [{ ...folder, readOnly: true }],
  }
}

/** Lets the pods that fetch reach the server, and no others. It belongs to a Job where that asks for it. */
export function planSecretsPolicy(
  ref: AppRef,
  plans: readonly (SecretPlan | undefined)[],
  { owner, secrets = null }: Pick<BaseSettings, 'owner' | 'secrets'>,
  job: { readonly name: string; readonly labels: Labels } | null = null,
): readonly KubeObject[] {
  if (secrets === null || secrets.peers.length === 0 || !plans.some(hasSecretFiles)) return []
  const own = { [LABELS.secrets]: 'files' }
  const matchLabels = job === null ? own : { ...own, [LABELS.job]: job.name }
  return [
    kubeObject({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      name: job === null ? POLICY : `${job.name}--secrets`,
      namespace: namespaceOf(ref),
      labels: job?.labels ?? ownershipLabels({ ref, owner }),
      fields: {
        spec: {
          podSelector: { matchLabels },
          policyTypes: ['Egress'],
          egress: [
            { to: secrets.peers.map(peer), ports: [{ protocol: 'TCP', port: secrets.port }] },
          ],
        },
      },
    }),
  ]
}

// Private

function fetcher(door: SecretsDoor, volumeMounts: readonly unknown[]): unknown {
  return {
    name: FETCHER,
    image: door.image,
    imagePullPolicy: 'IfNotPresent',
    command: ['node', FETCHER_PROGRAM],
    env: variables({
      FAIRWAY_SECRETS: SECRETS_FOLDER,
      FAIRWAY_SECRETS_CA: door.ca,
      FAIRWAY_SECRETS_TOKEN: `${TOKEN_FOLDER}/token`,
      FAIRWAY_SECRETS_URL: door.url,
      HOME: '/tmp',
    }),
    // It has ended when the app begins: a pod asks for the larger of the two, not for both.
    resources: {
      limits: { cpu: '1', memory: '128Mi' },
      requests: { cpu: '10m', memory: '48Mi' },
    },
    securityContext: CONTAINER_SECURITY_CONTEXT,
    volumeMounts,
    // Why it ended is then in the pod's status; it never prints a value.
    terminationMessagePolicy: 'FallbackToLogsOnError',
  }
}

function variables(
  values: Readonly<Record<string, string>>,
): readonly { readonly name: string; readonly value: string }[] {
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
