import { fingerprints } from '../../src/kubernetes/fingerprints.ts'
import { PROCESS_DEFAULTS, type AppSpec, type ProcessSpec } from '../../src/model/app-spec.ts'
import type { DesiredApp, Track, Workload } from '../../src/model/engine.ts'
import { parseAppName, parseEnvironmentName, parseProcessName } from '../../src/model/names.ts'
import type { ImageFacts } from '../../src/model/release.ts'
import { Secret } from '../../src/model/secrets.ts'
import type { ClusterFacts } from '../../src/kubernetes/cluster-facts.ts'
import type { PlanSettings } from '../../src/kubernetes/plan-settings.ts'

/** What the tests of the Kubernetes planner start from. */
export const SHOP = {
  app: parseAppName('shop'),
  environment: parseEnvironmentName('production'),
}
export const WEB = parseProcessName('web')

export const IMAGE: ImageFacts = {
  digest: `sha256:${'a'.repeat(64)}`,
  flavour: 'image',
  command: ['node', 'server.js'],
  env: { PATH: '/bin' },
  workingDir: '/app',
  user: '',
  port: null,
  sizeBytes: 1,
}

export const BARE: ClusterFacts = {
  version: '1.34.9',
  gateway: null,
  ingressClass: null,
  routerNamespaces: null,
  metrics: true,
  keda: false,
  istio: false,
  defaultStorageClass: 'standard',
  nodes: 2,
  clusterDomain: 'cluster.local',
  clusterRanges: ['10.251.0.0/16', '10.252.0.0/16'],
}
export const GATEWAY: ClusterFacts = {
  ...BARE,
  gateway: { namespace: 'gateways', name: 'main', class: 'any', trouble: null },
  routerNamespaces: ['gateways'],
}

export function settingsWith(change: Partial<PlanSettings> = {}): PlanSettings {
  return {
    facts: BARE,
    owner: 'test',
    imageOf: (digest) => `registry.test/shop@${digest}`,
    pullSecret: null,
    slots: new Map(),
    defaultHost: ({ app }) => `${app}.apps.example.com`,
    fingerprint: fingerprints(Secret.of('a key of tests')),
    ...change,
  }
}

export function processWith(change: Partial<ProcessSpec> = {}): ProcessSpec {
  return {
    name: WEB,
    type: 'web',
    command: null,
    env: {},
    port: null,
    routes: [{ host: null, path: '/' }],
    health: {
      ready: '/healthz',
      live: null,
      startMs: 60_000,
      intervalMs: 1000,
      timeoutMs: 2000,
      failures: 3,
    },
    shutdown: { signal: 'SIGTERM', drainMs: 30_000, stopMs: 30_000 },
    resources: { cpu: 1, memory: 64 * 2 ** 20, pids: 512 },
    scale: { min: 1, max: 1 },
    strategy: 'rolling',
    maxAgeMs: null,
    ...PROCESS_DEFAULTS,
    ...change,
  }
}

/** A track as its workload completes it with its own process. */
export type BareTrack = Omit<Track, 'spec'>

export function trackOf(change: Partial<BareTrack> = {}): BareTrack {
  return {
    name: 'stable',
    release: 1,
    image: IMAGE,
    env: { FAIRWAY_RELEASE: '1', SECRET: 'hunter2' },
    replicas: 1,
    weight: 100,
    ...change,
  }
}

export function workloadOf(
  change: Partial<ProcessSpec> = {},
  tracks: readonly (BareTrack & Partial<Track>)[] = [trackOf()],
): Workload {
  const spec = processWith(change)
  return { process: spec.name, spec, tracks: tracks.map((track) => ({ spec, ...track })) }
}

export function appOf(...workloads: readonly Workload[]): DesiredApp {
  return { ref: SHOP, target: null, workloads }
}

export function specOf({ ref, workloads }: DesiredApp): AppSpec {
  return {
    name: ref.app,
    environment: ref.environment,
    target: null,
    build: { image: null, command: null, context: '.' },
    env: {},
    release: null,
    processes: Object.fromEntries(workloads.map(({ process, spec }) => [process, spec])),
  }
}
