import type { PodEnv } from './pod-env.ts'
import { withPort } from '../lib/port-argument.ts'
import type { ProcessSpec, VolumeSpec } from '../model/app-spec.ts'
import type { AppRef } from '../model/names.ts'
import type { ImageFacts } from '../model/release.ts'
import { hasSecretFiles, type SecretPlan } from '../model/secrets.ts'
import { VALUES_ANNOTATION } from './labels.ts'
import type { Labels } from './object.ts'
import { isStateful, peersDns } from './object-names.ts'
import { DO_NOT_DISRUPT, keepAnnotations, placement } from './placement.ts'
import type { BaseSettings } from './plan-settings.ts'
import { identityParts } from './plan-identity.ts'
import { secretsParts } from './plan-secrets.ts'
import { CALLS_SERVER, type HelperParts } from './pod-door.ts'
import { CONTAINER_SECURITY_CONTEXT, podSecurityContext, podUser } from './pod-security.ts'
import { probes, seconds } from './probes.ts'

export interface PodInput {
  readonly ref: AppRef
  readonly process: ProcessSpec
  readonly image: ImageFacts
  readonly argv: readonly string[]
  readonly env: PodEnv
  /** As in `Track`. */
  readonly secrets?: SecretPlan | undefined
  /** Another one = other values that only another pod gets. */
  readonly valuesVersion?: string | undefined
  readonly labels: Labels
  readonly kind: 'service' | 'job' | 'cron'
  /** Most copies that there may be, for the spread over nodes. */
  readonly replicas: number
}

/** The container that runs the app's command; a mesh may add others. */
export const CONTAINER = 'app'

/** Port that a copy listens on; null for what does not listen. */
export function portOf(
  { type, port }: Pick<ProcessSpec, 'type' | 'port'>,
  image: ImageFacts,
): number | null {
  return type === 'web' ? (port ?? image.port ?? 8080) : null
}

/** `spec.template` of a workload: hardened, limited, bound to one image by its digest. */
export function podTemplate(input: PodInput, settings: BaseSettings): unknown {
  const { process, kind, labels } = input
  const { valuesVersion = '' } = input
  const annotations = {
    ...(kind === 'service' ? keepAnnotations(process) : DO_NOT_DISRUPT),
    ...(valuesVersion === '' ? {} : { [VALUES_ANNOTATION]: valuesVersion.slice(0, 16) }),
  }
  const helpers = helpersOf(input, settings)
  return {
    metadata: {
      labels: helpers.initContainers.length === 0 ? labels : { ...labels, ...CALLS_SERVER },
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    },
    spec: podSpec(input, helpers, settings),
  }
}

/** Time from the request to end until the end is forced; it includes `preStop`. */
export function graceSeconds({ type, shutdown }: Pick<ProcessSpec, 'type' | 'shutdown'>): number {
  return type === 'web'
    ? PRE_STOP_SECONDS + seconds(shutdown.drainMs + shutdown.stopMs)
    : seconds(shutdown.stopMs)
}

/** Whether a pod has a program of ours that calls the server. */
export function callsServer({ secrets, process }: Pick<PodInput, 'secrets' | 'process'>): boolean {
  return hasSecretFiles(secrets) || process.identity
}

// Private

/** Until every node has heard that no request may go to this copy any more: one to three seconds, seen on clusters of all sizes. */
const PRE_STOP_SECONDS = 5
/** The share of the CPU limit that is set aside; the rest is there while nobody else wants it. */
const CPU_REQUESTED = 0.25
const RUN_BYTES = 16 << 20

/** Programs of ours in the pod: first the one that ends when it has what it fetches. */
function helpersOf({ secrets, process }: PodInput, settings: BaseSettings): HelperParts {
  const [fetcher, keeper] = [secretsParts(secrets, settings), identityParts(process, settings)]
  return {
    env: [...fetcher.env, ...keeper.env],
    initContainers: [...fetcher.initContainers, ...keeper.initContainers],
    volumes: [...fetcher.volumes, ...keeper.volumes],
    mounts: [...fetcher.mounts, ...keeper.mounts],
  }
}

function podSpec(input: PodInput, helpers: HelperParts, settings: BaseSettings): unknown {
  const { process, image, kind } = input
  const port = kind === 'service' ? portOf(process, image) : null
  return {
    serviceAccountName: process.name,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    // Another process is pid 1: the kernel gives pid 1 no signal that it does not handle, and most apps were not written for that.
    shareProcessNamespace: true,
    ...(settings.pullSecret === null
      ? {}
      : { imagePullSecrets: [{ name: settings.pullSecret.name }] }),
    restartPolicy: kind === 'service' ? 'Always' : 'Never',
    terminationGracePeriodSeconds: graceSeconds(process),
    securityContext: podSecurityContext(podUser(image), port),
    ...(helpers.initContainers.length === 0 ? {} : { initContainers: helpers.initContainers }),
    containers: [container(input, port, helpers, settings)],
    volumes: [...volumes(input), ...helpers.volumes],
    ...(kind === 'service'
      ? placement(process, input.replicas, settings.facts)
      : placement({ ...process, spread: 'none' }, 1, settings.facts)),
  }
}

function container(
  input: PodInput,
  port: number | null,
  helpers: HelperParts,
  settings: BaseSettings,
): unknown {
  const { process, image, argv, kind } = input
  const secret = input.env.secret?.metadata.name
  const command = withPort(argv, port).map(literal)
  return {
    name: CONTAINER,
    image: settings.imageOf(image.digest, input.ref),
    imagePullPolicy: 'IfNotPresent',
    ...(command.length === 0 ? {} : { command }),
    ...(port === null ? {} : { ports: [{ name: 'http', containerPort: port, protocol: 'TCP' }] }),
    env: [...platformEnv(input, port, settings), ...input.env.references, ...helpers.env],
    ...(secret === undefined ? {} : { envFrom: [{ secretRef: { name: secret } }] }),
    resources: resources(process),
    securityContext: CONTAINER_SECURITY_CONTEXT,
    volumeMounts: [...mounts(input), ...helpers.mounts],
    terminationMessagePolicy: 'FallbackToLogsOnError',
    ...(kind === 'service' ? probes(process, port) : {}),
    ...(kind === 'service' && port !== null
      ? { lifecycle: { preStop: preStop(settings.facts.version) } }
      : {}),
  }
}

/** Kubernetes fills in `$(NAME)` in commands and values; `$$` is its plain `$`. */
function literal(text: string): string {
  return text.replaceAll('$', '$$$$')
}

function platformEnv(input: PodInput, port: number | null, { facts }: BaseSettings): unknown[] {
  const { ref, process, image, env } = input
  const known = new Set([...Object.keys(image.env), ...env.names])
  return [
    ...Object.entries(env.plain).map(([name, value]) => ({ name, value: literal(value) })),
    // The home of the image's user is on a read-only disk, as everything but /tmp and /run is.
    ...(known.has('HOME') ? [] : [{ name: 'HOME', value: '/tmp' }]),
    ...(process.peers ? [{ name: 'PEERS_DNS', value: peersDns(ref, process.name, facts) }] : []),
    ...(port === null ? [] : [{ name: 'PORT', value: String(port) }]),
  ]
}

function resources({ resources: { cpu, memory } }: ProcessSpec): unknown {
  return {
    limits: { cpu: millicores(cpu), memory: String(memory) },
    requests: {
      cpu: millicores(Math.max(0.01, cpu * CPU_REQUESTED)),
      memory: String(memory),
    },
  }
}

export function millicores(cores: number): string {
  const millis = Math.round(cores * 1000)
  return millis % 1000 === 0 ? String(millis / 1000) : `${String(millis)}m`
}

/** The kubelet sleeps by itself from 1.30 on; before, the image must have a program for it. */
function preStop(version: string): unknown {
  const minor = Number(/^v?1\.(\d+)/.exec(version)?.[1] ?? '99')
  return minor >= 30
    ? { sleep: { seconds: PRE_STOP_SECONDS } }
    : { exec: { command: ['sleep', String(PRE_STOP_SECONDS)] } }
}

/** As on one machine: what may be written is in memory, counts against its limit, and is gone with the copy. */
function volumes(input: PodInput): unknown[] {
  const inMemory = scratch(input).map(({ name, bytes }) => ({
    name,
    emptyDir: { medium: 'Memory', sizeLimit: String(Math.floor(bytes)) },
  }))
  // A disk of one copy comes from the claim template of its StatefulSet.
  const claimed = disks(input).filter(({ shared }) => shared || !isStateful(input.process))
  return [
    ...inMemory,
    ...claimed.map(({ name }) => ({
      name: diskName(name),
      persistentVolumeClaim: { claimName: name },
    })),
  ]
}

function mounts(input: PodInput): unknown[] {
  return [
    ...scratch(input).map(({ name, path }) => ({ name, mountPath: path })),
    ...disks(input).map(({ name, mount }) => ({ name: diskName(name), mountPath: mount })),
  ]
}

/** A disk of the app in the same place comes first. */
function scratch(input: PodInput): readonly { name: string; path: string; bytes: number }[] {
  const taken = disks(input).map(({ mount }) => mount)
  return [
    { name: 'tmp', path: '/tmp', bytes: input.process.resources.memory / 2 },
    { name: 'run', path: '/run', bytes: RUN_BYTES },
  ].filter(({ path }) => !taken.includes(path))
}

/** A release command runs before the new release owns anything: it has no disks. */
function disks({ process, kind }: PodInput): readonly VolumeSpec[] {
  if (kind === 'job') return []
  return [...process.volumes].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** A volume may be called `tmp`; a disk never meets what every pod has. */
export function diskName(volume: string): string {
  return `disk-${volume}`
}
