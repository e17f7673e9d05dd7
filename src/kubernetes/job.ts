import type { Clock } from '../model/clock.ts'
import type { ProcessSpec } from '../model/app-spec.ts'
import type { JobRequest, JobResult } from '../model/engine.ts'
import type { LogLine } from '../model/runner.ts'
import type { Applier } from './apply.ts'
import { nameOf } from './apply.ts'
import type { ClusterClient, ObjectName } from './cluster-client.ts'
import { listAt, named, textAt, timeAt, type Json } from './json-value.ts'
import { KINDS } from './kinds.ts'
import { LABELS, namespaceOf } from './labels.ts'
import { parseLogLine } from './log-line.ts'
import { NodeWait } from './node-wait.ts'
import type { KubeObject } from './object.ts'
import type { PodFacts } from './pod-facts.ts'
import { describeExit, podState, helperFailure, type PodView } from './pod-state.ts'

type JobClient = Pick<ClusterClient, 'get' | 'apply' | 'list' | 'mergePatch' | 'delete' | 'podLog'>

export interface JobDeps {
  readonly client: JobClient
  readonly applier: Pick<Applier, 'apply'>
  /** Pods of a Job, as seen now. */
  readonly podsOf: (namespace: string, job: string) => readonly PodFacts[]
  /** Resolves after the next change of the app, or when the signal aborts. */
  readonly change: (signal: AbortSignal) => Promise<void>
  readonly clock: Clock
}

const LINES = 20
/** Looks at least this often at what no event tells: a deadline, a Job that was deleted. */
const LOOK_MS = 1_000
/** Waiting for an image or a node ends the run after this time: it will not begin. */
const BEGIN_MS = 60_000

/** How a run ended. */
interface End {
  readonly code: number | null
  readonly reason: string
  /** It did not begin, and would not. */
  readonly isHopeless?: boolean
}

/**
 * Runs a command as a Job to its end. `planned` is what the Job needs, and last the Job itself, whose name follows from the request's key: a second call finds
 * the first one's run. @throws FairwayError CLUSTER_…
 */
export async function runClusterJob(
  job: JobRequest,
  planned: readonly KubeObject[],
  deps: JobDeps,
  onLine: (line: LogLine) => void,
  signal: AbortSignal,
): Promise<JobResult> {
  const object = planned.at(-1)
  if (object === undefined) throw new TypeError('a job plans at least one object')
  const name = nameOf(object)
  const live = await deps.client.get(name)
  if (live === null) await start(planned, object, deps)
  // The cluster counts in whole seconds: where the run begins now, our own clock is better.
  const began = timeAt(live, 'metadata', 'creationTimestamp') ?? deps.clock.now()
  const last: LogLine[] = []
  const output = new JobOutput(deps.client, (line) => {
    onLine(line)
    last.push(line)
    if (last.length > LINES) last.shift()
  })
  const nodes = new NodeWait({
    client: deps.client,
    clock: deps.clock,
    tell: (pod, text) => onLine(platformLine(pod, text, deps.clock.now())),
  })
  const end = await follow(job, name, { ...deps, began, output, nodes }, signal)
  await output.finish(END_OF_LOG_MS)
  await dropValues(planned, object, deps)
  return {
    instance: output.pod ?? name.name,
    code: end.code,
    reason: end.reason,
    lastLines: last.map(({ text }) => text),
  }
}

// Private

const END_OF_LOG_MS = 5_000
const OF_RUNS: ReadonlySet<string> = new Set(['Secret', 'NetworkPolicy'])

async function start(
  planned: readonly KubeObject[],
  object: KubeObject,
  { client, applier }: JobDeps,
): Promise<void> {
  const before = planned.slice(0, -1)
  await applier.apply(before)
  const live = await client.apply(nameOf(object), object)
  // What only this run needs goes with it.
  const owner = {
    apiVersion: object.apiVersion,
    kind: object.kind,
    name: object.metadata.name,
    uid: textAt(live, 'metadata', 'uid'),
  }
  for (const own of before.filter(
    ({ metadata, kind }) => OF_RUNS.has(kind) && isOf(metadata, object),
  ))
    await client.mergePatch(nameOf(own), { metadata: { ownerReferences: [owner] } })
}

/** The Job stays for a while to be asked for, its values do not. Where they cannot go now they go with it. */
async function dropValues(
  planned: readonly KubeObject[],
  job: KubeObject,
  { client }: JobDeps,
): Promise<void> {
  const own = planned.filter(({ kind, metadata }) => kind === 'Secret' && isOf(metadata, job))
  for (const secret of own) await client.delete(nameOf(secret)).catch(() => false)
}

function isOf(metadata: KubeObject['metadata'], job: KubeObject): boolean {
  return metadata.labels[LABELS.job] === job.metadata.name
}

interface Following extends JobDeps {
  readonly began: number
  readonly output: JobOutput
  readonly nodes: NodeWait
}

async function follow(
  job: JobRequest,
  name: ObjectName,
  deps: Following,
  signal: AbortSignal,
): Promise<End> {
  const { clock, client, began, output, nodes } = deps
  const since = clock.now()
  for (;;) {
    if (signal.aborted) {
      await stop(name, deps)
      return { code: null, reason: 'cancelled' }
    }
    const [pod] = deps.podsOf(namespaceOf(job.ref), name.name)
    if (pod !== undefined) output.follow(pod)
    const comingNode = pod === undefined ? null : await nodes.coming(pod, signal)
    const view = { now: clock.now(), since, startMs: startOf(job, pod), comingNode }
    const end = pod === undefined ? null : endOf(pod, view)
    if (end !== null) {
      // What has not begun would begin once there is a node, long after it was said to have failed.
      if (end.isHopeless === true) await stop(name, deps)
      return end
    }
    if (clock.now() - began >= job.timeoutMs) {
      await stop(name, deps)
      return { code: null, reason: tooLong(job) }
    }
    if (pod === undefined) {
      const lost = lostReason(await client.get(name), job)
      if (lost !== null) return { code: null, reason: lost }
    }
    await nextLook(deps, Math.min(LOOK_MS, began + job.timeoutMs - clock.now()), signal)
  }
}

/** `since`: what was in its way before we looked, such as a registry that was away with us, is not held against it. */
function endOf(
  pod: PodFacts,
  view: Pick<PodView, 'now' | 'startMs'> & {
    readonly since: number
    readonly comingNode: string | null
  },
): End | null {
  const { now, since } = view
  const hasEnded = pod.phase === 'Succeeded' || pod.phase === 'Failed'
  if (hasEnded && pod.exit !== null)
    return { code: pod.exit.code, reason: describeExit(pod.exit, pod) }
  const refused = helperFailure(pod)
  if (hasEnded && refused !== null) return { code: null, reason: refused }
  if (hasEnded) return { code: null, reason: pod.message === '' ? pod.reason : pod.message }
  if (now - Math.max(pod.createdAt, since) < BEGIN_MS) return null
  const { hopeless, reason } = podState(pod, { ...view, answer: null, everReady: true })
  return hopeless ? { code: null, reason, isHopeless: true } : null
}

/** What the process of a run may take to begin, which a node that is on its way is waited for at least. A run that has begun has its own time. */
function startOf({ spec, process }: JobRequest, pod: PodFacts | undefined): number {
  if (pod?.startedAt != null) return Infinity
  const processes = Object.values<ProcessSpec>(spec.processes)
  return processes.find(({ name }) => name === process)?.health.startMs ?? 0
}

function platformLine(pod: PodFacts, text: string, time: number): LogLine {
  const { name: instance, process, release } = pod
  return { time, stream: 'platform', instance, process, release, text }
}

/** A Job without a pod: it ended long ago and its pod was cleared away, it may not make one, or it is about to. */
function lostReason(live: Json | null, job: JobRequest): string | null {
  if (live === null) return 'lost: its Job was deleted'
  const failed = named(listAt(live, 'status', 'conditions'), 'type', 'Failed')
  if (textAt(failed, 'status') !== 'True') return null
  return textAt(failed, 'reason') === 'DeadlineExceeded' ? tooLong(job) : textAt(failed, 'message')
}

function tooLong({ timeoutMs }: JobRequest): string {
  return `took longer than ${String(Math.round(timeoutMs / 1000))} s`
}

/** Ends the run and keeps the Job, so that the same key finds how it ended. */
async function stop(name: ObjectName, { client, podsOf }: JobDeps): Promise<void> {
  await client.mergePatch(name, { spec: { activeDeadlineSeconds: 1 } })
  for (const pod of podsOf(name.namespace ?? '', name.name))
    await client.delete({ ...pod, kind: KINDS.Pod }, { uid: pod.uid, graceSeconds: 5 })
}

async function nextLook(deps: JobDeps, ms: number, signal: AbortSignal): Promise<void> {
  const done = new AbortController()
  const until = AbortSignal.any([signal, done.signal])
  const late = deps.clock.sleep(Math.max(10, ms), until).catch(() => undefined)
  await Promise.race([deps.change(until), late])
  done.abort()
}

/** The log of the run's pod, from its first line to its last. */
class JobOutput {
  readonly #client: JobClient
  readonly #onLine: (line: LogLine) => void
  readonly #stopping = new AbortController()
  #reading: Promise<void> | null = null
  #pod: string | null = null
  #told = 0

  constructor(client: JobClient, onLine: (line: LogLine) => void) {
    this.#client = client
    this.#onLine = onLine
  }

  get pod(): string | null {
    return this.#pod
  }

  /** Begins to read once there is something to read; called for every look. */
  follow(pod: PodFacts): void {
    this.#pod = pod.name
    if (this.#reading !== null || pod.startedAt === null) return
    this.#reading = this.#read(pod).catch(() => {
      // The log may not be there yet, or break off: how the run ended does not depend on it.
      this.#reading = null
    })
  }

  async finish(withinMs: number): Promise<void> {
    const timer = setTimeout(() => this.#stopping.abort(), withinMs)
    await this.#reading
    clearTimeout(timer)
  }

  async #read(pod: PodFacts): Promise<void> {
    const options = { container: pod.container, follow: true }
    const lines = this.#client.podLog(pod.namespace, pod.name, options, this.#stopping.signal)
    let index = 0
    for await (const line of lines) {
      // A second try begins at the first line again.
      if (index++ < this.#told) continue
      this.#told += 1
      this.#onLine(parseLogLine(line, pod))
    }
  }
}
