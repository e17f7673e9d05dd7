import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import { nameOf, ranked } from './apply.ts'
import type { ClusterClient } from './cluster-client.ts'
import { CLAIM_KEY, CLAIM_SECRET, ROLE_LABEL } from './home-pod.ts'
import { isRecord, listAt, recordAt, textAt, type Json } from './json-value.ts'
import { KINDS } from './kinds.ts'
import { labelOf } from './labels.ts'
import { objectKey, type KubeObject } from './object.ts'
import { wasApplied } from './owned-object.ts'
import { INSTALLER_LABEL, PLATFORM, selector } from './plan-platform.ts'

export interface PlatformInstallerOptions {
  readonly client: ClusterClient
  readonly clock: Clock
  /** As in `PlatformPlan`. */
  readonly installer: string
}

export interface ActivePlatform {
  readonly pod: string
  readonly claim: string | null
}

const POLL_MS = 500

/** The control plane's objects on one cluster: applies them, and waits until one server is active. */
export class PlatformInstaller {
  readonly #options: PlatformInstallerOptions

  constructor(options: PlatformInstallerOptions) {
    this.#options = options
  }

  /** What a Secret of the platform holds under `key`; null where there is none. */
  async secret(namespace: string, name: string, key: string): Promise<string | null> {
    const found = (await this.secrets(namespace, name))?.[key] ?? ''
    return found === '' ? null : found
  }

  /** All that it holds; null where there is none. */
  async secrets(namespace: string, name: string): Promise<Record<string, string> | null> {
    const found = await this.#options.client.get({ kind: KINDS.Secret, namespace, name })
    if (found === null) return null
    const data = recordAt(found, 'data')
    const clear = (key: string): string => Buffer.from(textAt(data, key), 'base64').toString()
    return Object.fromEntries(Object.keys(data).map((key) => [key, clear(key)] as const))
  }

  /**
   * Server-side, in the order of dependence. Nothing is written where any of the objects exists and is not this installation's.
   * @throws FairwayError CLUSTER_…
   */
  async apply(objects: readonly KubeObject[]): Promise<void> {
    for (const object of objects) await this.#expectOurs(object)
    for (const group of ranked(objects))
      for (const object of group)
        await this.#options.client.apply(nameOf(object), object, { force: true })
  }

  /** Resolves when all servers are of the newest template and ready, and one of them is active. @throws FairwayError TIMEOUT with what the pods say */
  async active(namespace: string, timeoutMs: number, signal: AbortSignal): Promise<ActivePlatform> {
    const { client, clock } = this.#options
    const labels = Object.entries(selector('server')).map(([key, value]) => `${key}=${value}`)
    const until = clock.now() + timeoutMs
    for (;;) {
      const { items } = await client.list(
        KINDS.Pod,
        { namespace, labels: labels.join(',') },
        signal,
      )
      const pods = items.filter((pod) => textAt(pod, 'metadata', 'deletionTimestamp') === '')
      const active = pods.find((pod) => labelOf(pod, ROLE_LABEL) === 'active')
      if (active !== undefined && pods.every(isReady) && (await this.#isRolledOut(namespace)))
        return {
          pod: textAt(active, 'metadata', 'name'),
          claim: await this.secret(namespace, CLAIM_SECRET, CLAIM_KEY),
        }
      if (clock.now() > until) throw late(namespace, await this.#pods(namespace), timeoutMs)
      await clock.sleep(POLL_MS, signal)
    }
  }

  // Private

  /** The template as it is now is the one of all servers. */
  async #isRolledOut(namespace: string): Promise<boolean> {
    const name = { kind: KINDS.Deployment, namespace, name: PLATFORM }
    const deployment = await this.#options.client.get(name)
    const status = recordAt(deployment, 'status')
    const wanted = recordAt(deployment, 'spec')['replicas']
    return (
      status['observedGeneration'] === recordAt(deployment, 'metadata')['generation'] &&
      ['replicas', 'updatedReplicas', 'readyReplicas'].every((count) => status[count] === wanted)
    )
  }

  async #pods(namespace: string): Promise<readonly Json[]> {
    return (await this.#options.client.list(KINDS.Pod, { namespace })).items
  }

  async #expectOurs(object: KubeObject): Promise<void> {
    const { client, installer } = this.#options
    const live = await client.get(nameOf(object))
    if (live === null) return
    const whose = labelOf(live, INSTALLER_LABEL)
    if (whose === installer || (whose === '' && wasApplied(live))) return
    const made = whose === '' ? 'was not made by Fairway' : `was installed by ${whose}`
    throw new FairwayError(
      'CLUSTER_CONFLICT',
      `${objectKey(object)} exists and ${made}; it was not touched`,
      {
        hint: 'Choose another namespace with --namespace, or delete what is there.',
      },
    )
  }
}

// Private

function isReady(pod: Json): boolean {
  return listAt(pod, 'status', 'conditions').some(
    (one) => textAt(one, 'type') === 'Ready' && textAt(one, 'status') === 'True',
  )
}

function late(namespace: string, pods: readonly Json[], timeoutMs: number): FairwayError {
  const said = pods
    .filter((pod) => !isReady(pod))
    .map((pod) => `${textAt(pod, 'metadata', 'name')}: ${reason(pod)}`)
  const text = said.length === 0 ? 'no server became active' : said.join('; ')
  return new FairwayError(
    'TIMEOUT',
    `the control plane is not ready after ${String(Math.round(timeoutMs / 1000))} s: ${text}`,
    {
      hint: `Look at it: kubectl -n ${namespace} describe pods. Installing again goes on from here.`,
    },
  )
}

function reason(pod: Json): string {
  const states = listAt(pod, 'status', 'containerStatuses').filter(isRecord)
  for (const status of states) {
    const waiting = recordAt(status, 'state', 'waiting')
    if (textAt(waiting, 'reason') !== '')
      return `${textAt(waiting, 'reason')} ${textAt(waiting, 'message')}`.trim()
    const ended = recordAt(status, 'lastState', 'terminated')
    if (textAt(ended, 'message') !== '') return textAt(ended, 'message').slice(-500)
  }
  const condition = listAt(pod, 'status', 'conditions').find((one) => textAt(one, 'message') !== '')
  return condition === undefined ? textAt(pod, 'status', 'phase') : textAt(condition, 'message')
}
