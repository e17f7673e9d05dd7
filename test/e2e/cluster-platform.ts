import { connect } from 'node:net'
import { z } from 'zod'
import { openTestCluster, type TestCluster } from '../cluster/test-cluster.ts'
import type { Lab } from '../cluster/lab.ts'
import { freePorts, startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { eventually } from './probe-app.ts'

/** The name of the cluster for `target:` in app files. */
export const TARGET = 'prod'

const ROUTED_MS = 90_000

export interface ClusterPlatform {
  readonly platform: PrivatePlatform
  readonly cluster: TestCluster
  readonly lab: Lab
  /** Address and port of a Service that has copies; the lab routes them to this host. Resolves once they lead somewhere. */
  service(
    namespace: string,
    name?: string,
  ): Promise<{ readonly host: string; readonly port: number }>
  /** One object as the API server has it. */
  object(namespace: string, kind: string, name: string): Promise<unknown>
  /** Takes everything away, the lab too where it was started for this. */
  destroy(): Promise<void>
}

export interface ClusterPlatformOptions {
  readonly subnet: string
  readonly nodes?: number
  /** Bytes of a lab of its own. */
  readonly memory?: number
  readonly env?: Readonly<Record<string, string>>
  /** What stands beside the cluster before the platform starts; returns variables for that. */
  readonly prepare?: (cluster: {
    readonly lab: Lab
    readonly host: string
  }) => Promise<Readonly<Record<string, string>>>
  /** False: the suite adds the target itself. */
  readonly addTarget?: boolean
  /** True: the server listens for instances of the cluster, on the lab's own network. */
  readonly access?: boolean
}

/** False where a lab can be had: nodes of a cluster of the user's cannot reach the registry of a server on this machine. */
export function lacksLab(): string | false {
  const own = process.env['KUBECONFIG'] ?? ''
  return own === '' ? false : 'needs a cluster lab of its own; KUBECONFIG names a cluster'
}

/** A whole Fairway of our own beside a real cluster that is its target; nodes pull from its registry. */
export async function startClusterPlatform(
  options: ClusterPlatformOptions,
): Promise<ClusterPlatform> {
  const { subnet, nodes = 1, memory, env = {}, addTarget = true, access = false } = options
  // Faults and the registry of nodes are for one suite alone: a lab is shared only when it is named.
  const alone = process.env['FAIRWAY_LAB'] === undefined
  const cluster = await openTestCluster({
    nodes,
    alone,
    ...(memory === undefined ? {} : { memory }),
  })
  let platform: PrivatePlatform | null = null
  const destroy = async (): Promise<void> => {
    try {
      if (!alone && platform !== null) await destroyApps(platform)
      await platform?.destroy()
    } finally {
      await cluster.close()
    }
  }
  try {
    const { lab, host, kubeconfig } = cluster
    if (lab === null || host === null) throw new Error('needs a cluster lab')
    const routed = new Set<string>()
    const [accessPort = 0] = access ? await freePorts(1) : []
    const listens = { FAIRWAY_ACCESS_HOST: host, FAIRWAY_ACCESS_PORT: String(accessPort) }
    const names = { FAIRWAY_HOST_NAMES: host, ...(access ? listens : {}) }
    const prepared = (await options.prepare?.({ lab, host })) ?? {}
    platform = await startPrivatePlatform({
      runner: 'container',
      subnet,
      env: { ...names, ...env, ...prepared },
    })
    await lab.setRegistry(`127.0.0.1:${String(platform.apiPort)}`)
    if (addTarget) await platform.must(targetArguments(kubeconfig))
    return {
      platform,
      cluster,
      lab,
      service: async (namespace, name = 'web') => {
        const path = 'jsonpath={.spec.clusterIP} {.spec.ports[0].port}'
        const text = await cluster.kubectl(['get', 'service', name, '-n', namespace, '-o', path])
        const [address = '', port = '80'] = text.split(' ')
        const found = { host: address, port: Number(port) }
        // The nodes hear of a new Service a moment after its copies are ready.
        if (!routed.has(text)) await eventually(() => connects(found), { withinMs: ROUTED_MS })
        routed.add(text)
        return found
      },
      object: async (namespace, kind, name): Promise<unknown> =>
        JSON.parse(await cluster.kubectl(['get', kind, name, '-n', namespace, '-o', 'json'])),
      destroy,
    }
  } catch (error) {
    await destroy()
    throw error
  }
}

function connects(address: { readonly host: string; readonly port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ ...address, timeout: 1000 })
    const end = (connected: boolean): void => {
      socket.destroy()
      resolve(connected)
    }
    socket.once('connect', () => end(true))
    socket.once('error', () => end(false))
    socket.once('timeout', () => end(false))
  })
}

/** A lab that goes on takes what is in it along. */
async function destroyApps(platform: PrivatePlatform): Promise<void> {
  const { stdout } = await platform.fairway(['ps', '--json'])
  const parsed = apps.safeParse(JSON.parse(stdout === '' ? '{}' : stdout))
  for (const { ref } of parsed.data?.apps ?? [])
    await platform.fairway(['destroy', ref.app, '--env', ref.environment, '--yes'])
}

const apps = z.object({
  apps: z.array(z.object({ ref: z.object({ app: z.string(), environment: z.string() }) })),
})

export function targetArguments(kubeconfig: string): string[] {
  return ['target', 'add', TARGET, '--kubeconfig', kubeconfig, '--pull-from', '127.0.0.1:5000']
}
