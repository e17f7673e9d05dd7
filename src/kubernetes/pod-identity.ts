import type { JobRequest } from '../model/engine.ts'
import { FairwayError } from '../model/errors.ts'
import {
  UNKNOWN_TOKEN,
  type ClusterInstances,
  type InstanceClaim,
  type InstanceNeed,
} from '../model/instance-secrets.ts'
import { parseProcessName, refKey, type AppRef } from '../model/names.ts'
import type { ClusterClient } from './cluster-client.ts'
import { at, isRecord, listAt, named, textAt, timeAt, type Json } from './json-value.ts'
import { KINDS } from './kinds.ts'
import { labelOf, LABELS, namespaceOf, refOf } from './labels.ts'

export interface PodIdentityOptions {
  readonly client: Pick<ClusterClient, 'create' | 'get'>
  /** Whose pods they have to be: another server's on the same cluster are foreign. */
  readonly owner: string
  /** What tokens have to be made for. */
  readonly audiences: Readonly<Record<InstanceNeed, string>>
  /** A run that this server waits for; null = none of that name. */
  readonly job: (app: string, name: string) => JobRequest | null
}

/** Who a token is of, by the API server that made it. */
interface Reviewed {
  readonly namespace: string
  readonly account: string
  readonly pod: string
  readonly uid: string
}

const MAX_TOKEN = 16_384
/** Questions at once, of all pods together: each asks the API server twice. Who asks who it is keeps nobody from its values. */
const WIDTH: Readonly<Record<InstanceNeed, number>> = { secrets: 32, identity: 16 }
/** Of one pod. */
const POD_WIDTH = 4
/** The container that fetches values. */
const SECRETS: InstanceNeed = 'secrets'
const ACCOUNT = /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/

/**
 * Takes tokens of pods for what they are: the cluster vouches for the token (TokenReview, for our audience), the token is bound to a pod that exists and, where it
 * is about values, has not begun its app; the pod is one of ours in its app's own namespace under its process's own account, and a run is one that this server
 * waits for. Whatever else it is, it is refused.
 */
export class PodIdentity implements ClusterInstances {
  readonly #options: PodIdentityOptions
  /** How many questions are open, by need, and by need and pod. */
  readonly #open = new Map<string, number>()

  constructor(options: PodIdentityOptions) {
    this.#options = options
  }

  async identify(token: string, need: InstanceNeed, signal: AbortSignal): Promise<InstanceClaim> {
    const claims = claimsFor(token, this.#options.audiences[need])
    if (claims === null) throw unknownToken()
    const pod = `${need} ${textAt(claims, 'kubernetes.io', 'pod', 'uid')}`
    return this.#counted([pod, POD_WIDTH], () =>
      this.#counted([need, WIDTH[need]], () => this.#identify(token, need, signal)),
    )
  }

  isMeant(token: string, need: InstanceNeed): boolean {
    return claimsFor(token, this.#options.audiences[need]) !== null
  }

  // Private

  /** By what the token says of itself: who lies there about its pod is in nobody's way but its own kind's. */
  async #counted<T>(
    [key, most]: readonly [key: string, most: number],
    task: () => Promise<T>,
  ): Promise<T> {
    const open = this.#open.get(key) ?? 0
    if (open >= most)
      throw new FairwayError('RUNNER_UNAVAILABLE', 'too many instances ask at once: ask again')
    this.#open.set(key, open + 1)
    try {
      return await task()
    } finally {
      const left = (this.#open.get(key) ?? 1) - 1
      if (left === 0) this.#open.delete(key)
      else this.#open.set(key, left)
    }
  }

  async #identify(token: string, need: InstanceNeed, signal: AbortSignal): Promise<InstanceClaim> {
    const who = await this.#review(token, this.#options.audiences[need])
    signal.throwIfAborted()
    const pod = await this.#pod(who, signal)
    const claim = this.#claim(who, pod)
    if (need === 'secrets') refuseBegun(pod)
    else refuseEnded(pod)
    return claim
  }

  /** Kubernetes authentication/v1; the API server refuses tokens of pods and accounts that are gone. */
  async #review(token: string, audience: string): Promise<Reviewed> {
    const { client } = this.#options
    const review = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token, audiences: [audience] },
    }
    const { status } = await client
      .create(KINDS.TokenReview, null, review)
      .catch((error: unknown) => {
        throw inWordsForPods(error)
      })
    const isMeant = listAt(status, 'audiences').includes(audience)
    if (at(status, 'authenticated') !== true || !isMeant) throw unknownToken()
    const [, namespace, account] = ACCOUNT.exec(textAt(status, 'user', 'username')) ?? []
    const extra = at(status, 'user', 'extra')
    const pod = only(extra, 'authentication.kubernetes.io/pod-name')
    const uid = only(extra, 'authentication.kubernetes.io/pod-uid')
    if (namespace === undefined || account === undefined || pod === null || uid === null)
      throw new FairwayError('FORBIDDEN', 'the token is bound to no pod')
    return { namespace, account, pod, uid }
  }

  async #pod({ namespace, account, pod: name, uid }: Reviewed, signal: AbortSignal): Promise<Json> {
    const pod = await this.#options.client.get({ kind: KINDS.Pod, namespace, name }, signal)
    if (pod === null || textAt(pod, 'metadata', 'uid') !== uid)
      throw new FairwayError('FORBIDDEN', 'the pod of the token is gone')
    if (textAt(pod, 'spec', 'serviceAccountName') !== account)
      throw new FairwayError('FORBIDDEN', 'the token is of another account than the pod')
    return pod
  }

  #claim({ namespace, account }: Reviewed, pod: Json): InstanceClaim {
    const ref = refOf(pod)
    const isOurs =
      labelOf(pod, LABELS.managedBy) === 'fairway' &&
      labelOf(pod, LABELS.owner) === this.#options.owner
    if (ref === null || !isOurs || namespaceOf(ref) !== namespace)
      throw new FairwayError('FORBIDDEN', 'the pod is none of this server’s')
    if (labelOf(pod, LABELS.process) !== account)
      throw new FairwayError('FORBIDDEN', 'the pod runs under the account of another process')
    const process = parseProcessName(account)
    const release = Number(labelOf(pod, LABELS.release))
    const instance = textAt(pod, 'metadata', 'name')
    const isRun = labelOf(pod, LABELS.kind) === 'job'
    const run = isRun ? this.#run(ref, pod, { process, release }) : null
    return { ref, process, release, instance, run }
  }

  #run(ref: AppRef, pod: Json, of: Pick<InstanceClaim, 'process' | 'release'>): JobRequest {
    const job = this.#options.job(refKey(ref), labelOf(pod, LABELS.job))
    if (job?.process === of.process && job.release === of.release) return job
    throw new FairwayError('NOT_FOUND', `nobody waits for this run of ${of.process}`)
  }
}

// Private

/** Its own program asks before the app begins; who comes later with the same token is somebody else. */
function refuseBegun(pod: Json): void {
  const status = named(listAt(pod, 'status', 'initContainerStatuses'), 'name', SECRETS)
  refuseEnded(pod)
  if (timeAt(pod, 'metadata', 'deletionTimestamp') !== null)
    throw new FairwayError('FORBIDDEN', 'the pod ends')
  // The kubelet reports late: after a restart of its node the status is still that of the life before.
  if (at(status, 'state', 'terminated', 'exitCode') === 0)
    throw new FairwayError('NOT_FOUND', 'the pod has its values already')
}

/** One that leaves may still finish what it has, for as long as its app file says: it is who it is until it has ended. */
function refuseEnded(pod: Json): void {
  const phase = textAt(pod, 'status', 'phase')
  if (phase === 'Succeeded' || phase === 'Failed')
    throw new FairwayError('FORBIDDEN', 'the pod has ended')
}

/** A look at the claims alone, unverified: what was not made for us costs the cluster nothing. Null for that. */
function claimsFor(token: string, audience: string): Json | null {
  const [, payload, signature, ...more] = token.split('.')
  if (token.length > MAX_TOKEN || payload === undefined || signature === undefined) return null
  if (more.length > 0) return null
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'))
    return isRecord(claims) && listAt(claims, 'aud').includes(audience) ? claims : null
  } catch {
    return null
  }
}

function unknownToken(): FairwayError {
  return new FairwayError('UNAUTHENTICATED', UNKNOWN_TOKEN)
}

/** What no pod can do anything about ends its waiting. */
function inWordsForPods(error: unknown): unknown {
  if (!(error instanceof FairwayError) || error.code !== 'CLUSTER_FORBIDDEN') return error
  return new FairwayError('FORBIDDEN', 'this server may not create tokenreviews on its cluster', {
    cause: error,
  })
}

/** A claim of one value; null for none or several. */
function only(extra: unknown, key: string): string | null {
  const [value, ...more] = listAt(extra, key)
  return typeof value === 'string' && more.length === 0 ? value : null
}
