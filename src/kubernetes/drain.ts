import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { DrainEvent } from '../model/nodes.ts'
import type { ClusterClient } from './cluster-client.ts'
import { readDrainFacts } from './drain-facts.ts'
import { numberAt } from './json-value.ts'
import { KINDS, type Kind } from './kinds.ts'
import { planDrain, type DrainPlan, type DrainPod, type PlannedPod } from './plan-drain.ts'

export interface DrainInput {
  readonly client: ClusterClient
  readonly clock: Clock
  readonly node: string
  /** Name of this installation. */
  readonly owner: string
  /** Of `clock.elapsed`: when it ends with what is left. */
  readonly until: number
  readonly localData: boolean
  /** Set where the node goes away: from this moment of `clock.elapsed` on, our copies that are left are told to stop whatever their budgets say. */
  readonly deleteAt: number | null
}

const LOOK_MS = 1_000
const AT_ONCE = 8

/**
 * Evicts what may be moved from a cordoned node, as its budgets allow (Eviction API, policy/v1), and tells what happens. Looks again until nothing is left, time is
 * up, or what is left will not go by waiting.
 */
export async function* drain(input: DrainInput, signal: AbortSignal): AsyncGenerator<DrainEvent> {
  const { clock, node, localData, deleteAt, until } = input
  const told = new Telling(clock)
  const disks = new Map<string, boolean>()
  for (;;) {
    const facts = await readDrainFacts(input.client, { ...input, disks, signal })
    const scope = { localData, vanishing: deleteAt !== null }
    const plan = planDrain(node, facts.pods, facts.budgets, scope)
    yield* told.gone(facts.pods)
    yield* told.standing(plan)
    const late = deleteAt !== null && clock.elapsed() >= deleteAt
    if (late) yield* deleteOurs(input, plan, told)
    yield* evictAll(
      input,
      late ? plan.evict.filter(({ pod }) => pod.ours === null) : plan.evict,
      told,
    )
    const left = [...plan.evict, ...plan.wait, ...plan.refuse]
    if (plan.evict.length + plan.wait.length === 0 || clock.elapsed() >= until) {
      yield end(clock, left)
      return
    }
    await clock.sleep(LOOK_MS, signal)
  }
}

// Private

async function* evictAll(
  input: DrainInput,
  planned: DrainPlan['evict'],
  told: Telling,
): AsyncGenerator<DrainEvent> {
  for (let first = 0; first < planned.length; first += AT_ONCE) {
    const group = planned.slice(first, first + AT_ONCE)
    const answers = await Promise.all(group.map(({ pod }) => evict(input.client, pod)))
    for (const [index, { pod, text, held }] of group.entries()) {
      const answer = answers[index] ?? null
      if (answer === null) yield* told.once(pod, 'evicting', text)
      else yield* told.once(pod, 'blocked', held ?? answer)
    }
  }
}

/** Deleting is not asking: done to copies of our own apps alone, and with the time to stop that is left to them. */
async function* deleteOurs(
  { client, clock, until }: DrainInput,
  { evict: held, wait }: DrainPlan,
  told: Telling,
): AsyncGenerator<DrainEvent> {
  const late = [...held, ...wait].filter(({ pod }) => pod.ours !== null && !pod.deleting)
  const leftSeconds = Math.max(1, Math.floor((until - clock.elapsed()) / 1000))
  for (const { pod } of late) {
    const graceSeconds = Math.min(pod.graceSeconds, leftSeconds)
    const { namespace, name, uid } = pod
    await client.delete({ kind: KINDS.Pod, namespace, name }, { uid, graceSeconds })
    yield* told.once(pod, 'deleted', `${pod.ours ?? ''} has to go: the node goes away`)
  }
}

/** Null where it goes, else why it may not now. */
async function evict(client: ClusterClient, pod: DrainPod): Promise<string | null> {
  const { namespace, name, uid } = pod
  try {
    await client.create(evictionOf(name), namespace, {
      apiVersion: 'policy/v1',
      kind: 'Eviction',
      metadata: { namespace, name },
      deleteOptions: { preconditions: { uid } },
    })
    return null
  } catch (error) {
    if (!(error instanceof FairwayError)) throw error
    // Gone, or another one of its name: the next look tells.
    if ([404, 409].includes(numberAt(error.details, 'status') ?? 0)) return null
    if (!isAnswer(error)) throw error
    return error.message
  }
}

/** 429: its budget forbids it now. 500: the Eviction API cannot decide, as with two budgets. Both may change. */
function isAnswer({ code, details }: FairwayError): boolean {
  const answer = numberAt(details, 'answer')
  return code === 'CLUSTER_REJECTED' || answer === 429 || answer === 500
}

/** The subresource that an eviction is created at. */
function evictionOf(pod: string): Kind {
  const plural = `pods/${encodeURIComponent(pod)}/eviction`
  return { apiVersion: 'v1', kind: 'Eviction', plural, namespaced: true }
}

function end(clock: Clock, left: readonly PlannedPod[]): DrainEvent {
  return {
    type: 'end',
    at: clock.now(),
    drained: left.length === 0,
    left: left.map((one) => ({ pod: podName(one.pod), text: textOf(one) })),
  }
}

function textOf(one: PlannedPod & { readonly held?: string | null }): string {
  return one.held ?? one.text
}

function podName({ namespace, name }: DrainPod): string {
  return `${namespace}/${name}`
}

type PodState = Extract<DrainEvent, { type: 'pod' }>['state']

/** Says everything once. */
class Telling {
  readonly #clock: Clock
  readonly #said = new Map<string, string>()
  readonly #going = new Map<string, DrainPod>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  *once(pod: DrainPod, state: PodState, text: string): Generator<DrainEvent> {
    if (state !== 'skipped') this.#going.set(pod.uid, pod)
    const words = `${state} ${text}`
    if (this.#said.get(pod.uid) === words) return
    this.#said.set(pod.uid, words)
    yield { type: 'pod', at: this.#clock.now(), pod: podName(pod), state, text }
  }

  *standing({ skip, refuse, wait }: DrainPlan): Generator<DrainEvent> {
    for (const { pod, text } of skip) yield* this.once(pod, 'skipped', text)
    for (const { pod, text } of refuse) yield* this.once(pod, 'blocked', text)
    // What we told to go is on its way; that is no news.
    for (const { pod, text } of wait)
      if (!pod.deleting || !this.#said.has(pod.uid)) yield* this.once(pod, 'waiting', text)
  }

  *gone(pods: readonly DrainPod[]): Generator<DrainEvent> {
    const here = new Set(pods.filter(({ ended }) => !ended).map(({ uid }) => uid))
    for (const [uid, pod] of this.#going) {
      if (here.has(uid)) continue
      this.#going.delete(uid)
      yield { type: 'pod', at: this.#clock.now(), pod: podName(pod), state: 'gone', text: '' }
    }
  }
}
