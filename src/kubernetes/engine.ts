import { Changes } from '../lib/changes.ts'
import type { Log } from '../lib/log.ts'
import type { AppSpec } from '../model/app-spec.ts'
import type { Clock } from '../model/clock.ts'
import type {
  ActualApp,
  DesiredApp,
  Engine,
  JobRequest,
  JobResult,
  ReleaseTraffic,
} from '../model/engine.ts'
import { FairwayError } from '../model/errors.ts'
import type { InstanceId, Usage } from '../model/instance.ts'
import type { ClusterInstances } from '../model/instance-secrets.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { ExecRequest, ExecSession, LogLine } from '../model/runner.ts'
import { actualApp, type AppState } from './app-status.ts'
import { Attention } from './attention.ts'
import type { ClusterClient } from './cluster-client.ts'
import { readFacts } from './facts.ts'
import { runClusterJob } from './job.ts'
import type { Kind } from './kinds.ts'
import { namespaceOf } from './labels.ts'
import { needsLook, type OwnedObject } from './owned-object.ts'
import { OwnedObjects } from './owned-objects.ts'
import { planJob } from './plan-job.ts'
import { planNotes } from './plan-notes.ts'
import type { EngineDoor } from './pod-door.ts'
import type { PodFacts } from './pod-facts.ts'
import { PodIdentity } from './pod-identity.ts'
import {
  asFairwayError,
  isLasting,
  Reconciler,
  type EngineSettings,
  type Progress,
} from './reconciler.ts'
import { refOfKey } from './ref-key.ts'
import { RunningJobs } from './running-jobs.ts'
import { servingOf } from './serving.ts'
import type { TrafficReader } from './traffic-reader.ts'
import { unsupportedKeys } from './unsupported-keys.ts'
import { UsageReader } from './usage.ts'
import { WorkQueue } from './work-queue.ts'

export interface KubernetesEngineOptions {
  readonly client: ClusterClient
  /** Of plans: the owner's name, how nodes name images, the pull secret, hosts of routes without one. */
  readonly settings: EngineSettings
  /** How pods get values, and what their tokens are made for; absent = not at all. */
  readonly podDoor?: EngineDoor
  /** Reads what releases served; null = nothing on this cluster says it, and no canary is judged by it. */
  readonly traffic?: TrafficReader | null
  readonly clock: Clock
  readonly log: Log
  /** 0 to 1, for jitter. */
  readonly random: () => number
  /** Apps worked on at the same time; default 24. */
  readonly width?: number
  /** Apps of ours that no target wants are removed this long after the start; default 10 s. */
  readonly orphansAfterMs?: number
}

/** The engine for a cluster: plans objects, applies what differs, watches; the cluster does the rest. */
export class KubernetesEngine implements Engine {
  readonly name = 'kubernetes'
  readonly #options: KubernetesEngineOptions
  readonly #apps = new Map<string, AppState>()
  readonly #changes = new Changes()
  readonly #closing = new AbortController()
  readonly #everReady = new Set<string>()
  readonly #running = new RunningJobs()
  /** Says which copy of which app shows a token. */
  readonly instances: ClusterInstances
  readonly #objects: OwnedObjects
  readonly #reconciler: Reconciler
  readonly #queue: WorkQueue
  readonly #attention: Attention
  readonly #usage: UsageReader
  #unreachable: FairwayError | null = null
  #open = false
  #since = 0

  constructor(options: KubernetesEngineOptions) {
    const { client, settings, clock, log, random, width = 24 } = options
    this.#options = options
    this.#objects = new OwnedObjects({
      client,
      owner: settings.owner,
      onChange: (kind, before, now) => this.#onObject(kind, before, now),
      onPod: (before, now) => this.#onPod(before, now),
      onContact: (error) => this.#onContact(error),
      clock,
      random,
      log,
    })
    this.#reconciler = new Reconciler({
      client,
      objects: this.#objects,
      facts: () => readFacts(client, this.#closing.signal),
      settings,
      podDoor: options.podDoor,
      onValues: (ref) => this.#queue.add(refKey(ref), true),
      clock,
      log,
    })
    this.instances = new PodIdentity({
      client,
      owner: settings.owner,
      audiences: options.podDoor?.audiences ?? { secrets: '', identity: '' },
      job: (app, name) => this.#running.find(app, name),
    })
    this.#queue = new WorkQueue({
      work: (key) => this.#work(key),
      onFailure: (key, error, failures) => this.#onFailure(key, error, failures),
      width,
      clock,
      random,
    })
    this.#attention = new Attention({
      client,
      objects: this.#objects,
      actual: (key) => this.actual(refOfKey(key)),
      announce: (key) => this.#changes.announce(key),
      clock,
      log,
      signal: this.#closing.signal,
    })
    this.#usage = new UsageReader(client)
  }

  flavourOf(): 'image' {
    return 'image'
  }

  unsupported(spec: AppSpec): readonly string[] {
    const { traffic = null } = this.#options
    return unsupportedKeys(spec, { isMeasured: traffic !== null })
  }

  async notes(desired: DesiredApp): Promise<readonly string[]> {
    return planNotes(desired, await this.#reconciler.settings(desired.ref))
  }

  /** Never waits for the cluster. Apps that were applied before are adopted as they are; what else is ours there is removed a little later. */
  open(): Promise<void> {
    if (!this.#open) {
      this.#open = true
      this.#since = this.#options.clock.now()
      this.#objects.start(this.#closing.signal)
      this.#begin().catch((error: unknown) => {
        if (!this.#closing.signal.aborted)
          this.#options.log.error({ error: String(error) }, 'the engine cannot begin')
      })
    }
    return Promise.resolve()
  }

  apply(desired: DesiredApp): Promise<void> {
    const key = refKey(desired.ref)
    const adopt = this.#apps.get(key)?.adopt ?? new Set()
    this.#apps.set(key, { ref: desired.ref, desired, problem: null, adopt })
    this.#attention.renew(key)
    this.#queue.add(key, true)
    this.#changes.announce(key)
    return Promise.resolve()
  }

  /** Takes objects over that others made or own fields of, by the keys that the errors name ('Deployment shop--production/web-a'). */
  adopt(ref: AppRef, keys: readonly string[]): Promise<void> {
    const key = refKey(ref)
    const app = this.#apps.get(key)
    if (app === undefined)
      return Promise.reject(new FairwayError('NOT_FOUND', `${key} does not run on this cluster`))
    app.adopt = new Set([...app.adopt, ...keys])
    this.#queue.add(key, true)
    return Promise.resolve()
  }

  async remove(ref: AppRef): Promise<void> {
    const key = refKey(ref)
    this.#apps.set(key, { ref, desired: null, problem: null, adopt: new Set() })
    this.#queue.add(key, true)
    for (;;) {
      this.#closing.signal.throwIfAborted()
      const seen = this.#changes.version(key)
      const app = this.#apps.get(key)
      if (app?.desired !== null) return
      // It goes on being removed; whoever waits should know that it takes a person.
      if (app.problem?.lasting === true) throw app.problem.error
      await this.#changes.after(key, seen, this.#closing.signal)
    }
  }

  actual(ref: AppRef): ActualApp {
    const key = refKey(ref)
    const [app, namespace] = [this.#apps.get(key), namespaceOf(ref)]
    const desired = app?.desired ?? null
    return actualApp(ref, desired, {
      pods: this.#objects.pods.in(namespace),
      workloads: this.#objects.workloads(namespace),
      routes: this.#objects.routes(namespace),
      applied: desired !== null && this.#reconciler.isApplied(desired),
      problem: app?.problem ?? null,
      unreachable: this.#unreachable,
      diagnoses: this.#attention.diagnoses(key),
      answerOf: (pod) => this.#attention.answerOf(pod),
      comingNode: (pod) => this.#attention.comingNode(pod),
      everReady: ({ uid }) => this.#everReady.has(uid),
      trouble: ({ process, release }) => this.#reconciler.trouble(ref, process, release),
      now: this.#options.clock.now(),
      since: this.#since,
    })
  }

  async *watch(ref: AppRef, signal: AbortSignal): AsyncIterable<ActualApp> {
    const until = AbortSignal.any([signal, this.#closing.signal])
    while (!until.aborted) {
      const seen = this.#changes.version(refKey(ref))
      yield this.actual(ref)
      await this.#changes.after(refKey(ref), seen, until)
    }
  }

  async runJob(
    job: JobRequest,
    onLine: (line: LogLine) => void,
    signal: AbortSignal,
  ): Promise<JobResult> {
    const { client, clock } = this.#options
    const deps = {
      client,
      applier: this.#reconciler.applier,
      podsOf: (namespace: string, name: string): readonly PodFacts[] =>
        this.#objects.pods.in(namespace).filter((pod) => pod.job === name),
      change: (stop: AbortSignal) => this.changed(job.ref, stop),
      clock,
    }
    const until = AbortSignal.any([signal, this.#closing.signal])
    return this.#running.run(job, () =>
      this.#reconciler.forRun(job, (settings) =>
        runClusterJob(job, planJob(job, settings), deps, onLine, until),
      ),
    )
  }

  async exec(ref: AppRef, instance: InstanceId, request: ExecRequest): Promise<ExecSession> {
    const namespace = namespaceOf(ref)
    const pod = this.#objects.pods.get(namespace, instance)
    if (pod === null)
      throw new FairwayError('NOT_FOUND', `${refKey(ref)} has no instance ${instance}`)
    if (!pod.running) throw new FairwayError('NOT_RUNNING', `instance ${instance} does not run`)
    return this.#options.client.exec(namespace, instance, pod.container, request)
  }

  /** Requests go past us on a cluster: what its metrics say. */
  async measure(ref: AppRef): Promise<readonly ReleaseTraffic[] | null> {
    const { traffic = null } = this.#options
    if (traffic === null) return null
    const namespace = namespaceOf(ref)
    const desired = this.#apps.get(refKey(ref))?.desired ?? null
    const pods = this.#objects.pods.in(namespace)
    const serving = servingOf(namespace, desired, pods, this.#objects.workloads(namespace))
    return traffic.read(serving, this.#closing.signal)
  }

  usage(ref: AppRef): Promise<ReadonlyMap<InstanceId, Usage>> {
    const namespace = namespaceOf(ref)
    return this.#usage.read(namespace, this.#objects.pods.in(namespace))
  }

  /** Pods of an app as the cluster shows them now. */
  pods(ref: AppRef): readonly PodFacts[] {
    return this.#objects.pods.in(namespaceOf(ref))
  }

  /** Resolves after the next change of an app, or when the signal aborts. */
  async changed(ref: AppRef, signal: AbortSignal): Promise<void> {
    const key = refKey(ref)
    await this.#changes.after(key, this.#changes.version(key), signal)
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the engine closes'))
    this.#queue.close()
    this.#reconciler.close()
    await this.#options.client.close()
  }

  // Private

  async #begin(): Promise<void> {
    const { clock, orphansAfterMs = 10_000 } = this.#options
    await this.#objects.untilSynced()
    if (this.#closing.signal.aborted) return
    this.#queue.open()
    for (const key of this.#apps.keys()) this.#changes.announce(key)
    await clock.sleep(orphansAfterMs, this.#closing.signal)
    this.#removeOrphans()
  }

  /** Everything with our owner's name that nobody asked for since the start: an app that was destroyed while we were away. */
  #removeOrphans(): void {
    for (const { app } of this.#objects.namespaces()) {
      if (app === '' || this.#apps.has(app) || this.#running.has(app)) continue
      // A store that was restored from a backup knows less than the cluster: what cannot be made again is left to a person.
      if (this.#objects.hasDisks(namespaceOf(refOfKey(app)))) {
        this.#options.log.warn({ app }, 'nobody wants this app any more; it stays for its disks')
        continue
      }
      this.#options.log.warn({ app }, 'nobody wants this app any more: it is removed')
      this.#apps.set(app, { ref: refOfKey(app), desired: null, problem: null, adopt: new Set() })
      this.#queue.add(app)
    }
  }

  async #work(key: string): Promise<number | null> {
    const app = this.#apps.get(key)
    if (app === undefined) return null
    const { desired } = app
    if (desired === null || desired.workloads.length === 0) return await this.#end(key, app)
    this.#attention.notice(key)
    const again = await this.#reconciler.converge(desired, () => this.#progress(app.ref), app.adopt)
    // A newer target may have come meanwhile: its problems are its own.
    const now = this.#apps.get(key)
    if (now?.desired === desired) this.#apps.set(key, { ...now, problem: null, adopt: new Set() })
    this.#changes.announce(key)
    return again
  }

  async #end(key: string, app: AppState): Promise<number | null> {
    const gone = await this.#reconciler.end(app.ref)
    const now = this.#apps.get(key)
    if (now?.desired !== app.desired) return 0
    if (gone && app.desired === null) {
      this.#apps.delete(key)
      this.#attention.forget(key)
    }
    this.#changes.announce(key)
    return gone ? null : GONE_LOOK_MS
  }

  #progress(ref: AppRef): Progress {
    const { workloads } = this.actual(ref)
    return {
      ready: workloads.every(({ ready, desired }) => ready >= desired),
      old: workloads.some(({ old }) => old > 0),
      settled: this.#objects.workloads(namespaceOf(ref)).every(({ settled }) => settled),
    }
  }

  #onFailure(key: string, error: unknown, failures: number): void {
    const app = this.#apps.get(key)
    if (app === undefined || this.#closing.signal.aborted) return
    const failure = asFairwayError(error)
    app.problem = { error: failure, lasting: isLasting(failure, failures) }
    const { code, message } = failure
    if (failures === 1 || failures % 20 === 0)
      this.#options.log.warn({ app: key, code, error: message }, 'not applied')
    this.#attention.notice(key)
    this.#changes.announce(key)
  }

  // What the cluster tells

  #onObject(kind: Kind, before: OwnedObject | null, now: OwnedObject | null): void {
    const key = now?.app ?? before?.app ?? ''
    const app = this.#apps.get(key)
    if (app === undefined || !this.#open) return
    this.#changes.announce(key)
    if (app.desired === null || needsLook(kind, before, now)) this.#queue.add(key)
    this.#attention.notice(key)
  }

  #onPod(before: PodFacts | null, now: PodFacts | null): void {
    const pod = now ?? before
    if (pod === null) return
    if (now === null) this.#everReady.delete(pod.uid)
    else if (now.ready) this.#everReady.add(now.uid)
    this.#changes.announce(pod.app)
    if (!this.#apps.has(pod.app)) return
    this.#attention.notice(pod.app)
    if (before?.ready !== now?.ready) this.#queue.add(pod.app)
  }

  #onContact(error: FairwayError | null): void {
    if (error === null ? this.#unreachable === null : this.#unreachable?.code === error.code) return
    const { log, client } = this.#options
    if (error === null) log.info({ cluster: client.server }, 'the cluster answers again')
    else log.warn({ cluster: client.server, error: error.message }, 'the cluster does not answer')
    this.#unreachable = error
    for (const key of this.#apps.keys()) {
      if (error === null) this.#queue.add(key, true)
      this.#changes.announce(key)
    }
  }
}

const GONE_LOOK_MS = 1_000
