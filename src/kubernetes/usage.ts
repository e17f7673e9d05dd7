import { FairwayError } from '../model/errors.ts'
import type { InstanceId, Usage } from '../model/instance.ts'
import type { ClusterClient } from './cluster-client.ts'
import { listAt, numberAt, recordAt, textAt, timeAt, type Json } from './json-value.ts'
import { KINDS, pathOf } from './kinds.ts'
import type { PodFacts } from './pod-facts.ts'
import { parseQuantity } from './quantity.ts'

const PATIENCE_MS = 2_000

interface Counted {
  readonly seconds: number
  readonly at: number
}

/** Memory and CPU of copies from the metrics API; empty where the cluster has none. The API gives a rate: seconds are summed up from it. */
export class UsageReader {
  readonly #client: ClusterClient
  readonly #counted = new Map<string, Counted>()

  constructor(client: ClusterClient) {
    this.#client = client
  }

  async read(
    namespace: string,
    pods: readonly PodFacts[],
  ): Promise<ReadonlyMap<InstanceId, Usage>> {
    const list = await this.#list(namespace)
    const usages = new Map<InstanceId, Usage>()
    for (const item of listAt(list, 'items')) {
      const pod = pods.find(({ name }) => name === textAt(item, 'metadata', 'name'))
      if (pod !== undefined) usages.set(pod.name, this.#usage(pod, item))
    }
    for (const name of this.#counted.keys())
      if (name.startsWith(`${namespace}/`) && !usages.has(name.slice(namespace.length + 1)))
        this.#counted.delete(name)
    return usages
  }

  /** What cannot be had soon is not known: a list of all apps does not wait for a cluster that is away. */
  async #list(namespace: string): Promise<Json | null> {
    const path = pathOf(KINDS.PodMetrics, namespace)
    const signal = AbortSignal.timeout(PATIENCE_MS)
    try {
      return await this.#client.getPath(path, `list metrics in namespace ${namespace}`, { signal })
    } catch (error) {
      if (signal.aborted || error instanceof FairwayError) return null
      throw error
    }
  }

  #usage(pod: PodFacts, item: unknown): Usage {
    const containers = listAt(item, 'containers')
    const sum = (resource: string): number =>
      containers.reduce<number>(
        (total, container) => total + parseQuantity(textAt(recordAt(container, 'usage'), resource)),
        0,
      )
    const key = `${pod.namespace}/${pod.name}`
    const at = timeAt(item, 'timestamp') ?? numberAt(item, 'timestamp') ?? 0
    const before = this.#counted.get(key) ?? { seconds: 0, at: pod.startedAt ?? at }
    const seconds = before.seconds + (Math.max(0, at - before.at) / 1000) * sum('cpu')
    this.#counted.set(key, { seconds, at })
    const limit = parseQuantity(pod.memoryLimit)
    return {
      memoryBytes: sum('memory'),
      memoryLimitBytes: limit === 0 ? null : limit,
      cpuSeconds: seconds,
      pids: 0,
    }
  }
}
