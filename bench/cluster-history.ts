import { ClusterClient } from '../src/kubernetes/cluster-client.ts'
import { textAt } from '../src/kubernetes/json-value.ts'
import { KINDS } from '../src/kubernetes/kinds.ts'
import { labelOf, LABELS } from '../src/kubernetes/labels.ts'
import { systemClock } from '../src/lib/clock.ts'
import type { TestCluster } from '../test/cluster/test-cluster.ts'
import { connectionOf } from '../test/kubernetes-bed.ts'

/** Every pod of a release command or `fairway run` that a cluster ever had, seen while it lasted. */
export class JobHistory {
  readonly #client: ClusterClient
  readonly #watching = new AbortController()
  readonly #pods = new Map<string, Set<string>>()
  #ended: Promise<void> = Promise.resolve()

  private constructor(client: ClusterClient) {
    this.#client = client
  }

  static async begin(cluster: TestCluster): Promise<JobHistory> {
    const connection = await connectionOf(cluster)
    const client = new ClusterClient({ connection, clock: systemClock, random: Math.random })
    const history = new JobHistory(client)
    const options = { namespace: null, labels: `${LABELS.kind}=job` }
    const { resourceVersion } = await client.list(KINDS.Pod, options)
    history.#ended = history.#follow(resourceVersion)
    return history
  }

  /** Pods per release command, by `<namespace>/<job>`. */
  get runs(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#pods
  }

  async end(): Promise<void> {
    this.#watching.abort()
    await this.#ended
    await this.#client.close()
  }

  // Private

  async #follow(from: string): Promise<void> {
    const options = { namespace: null, labels: `${LABELS.kind}=job`, seconds: 3_600 }
    const { signal } = this.#watching
    const changes = this.#client.watch(KINDS.Pod, { ...options, resourceVersion: from }, signal)
    try {
      for await (const { object } of changes) {
        const key = `${textAt(object, 'metadata', 'namespace')}/${labelOf(object, LABELS.job)}`
        const pods = this.#pods.get(key) ?? new Set()
        this.#pods.set(key, pods.add(textAt(object, 'metadata', 'uid')))
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }
}
