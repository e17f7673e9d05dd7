import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { DesiredApp, JobRequest, Track } from '../model/engine.ts'
import { FairwayError } from '../model/errors.ts'
import { refKey, type AppRef, type ProcessName } from '../model/names.ts'
import { parseProcessName } from '../model/names.ts'
import { Applier, outlineOf, type Outline } from './apply.ts'
import type { ClusterClient } from './cluster-client.ts'
import type { ClusterFacts } from './cluster-facts.ts'
import { isRecord } from './json-value.ts'
import { KINDS } from './kinds.ts'
import { namespaceOf } from './labels.ts'
import { removeNamespace } from './namespace-end.ts'
import { KnownFacts } from './known-facts.ts'
import type { OwnedObjects } from './owned-objects.ts'
import { expectIdentities } from './plan-identity.ts'
import { processOf } from './plan-job.ts'
import type { KubeObject } from './object.ts'
import { planApp, slotsOf } from './plan-app.ts'
import type { PlanSettings } from './plan-settings.ts'
import type { EngineDoor, PodDoor } from './pod-door.ts'
import { callsServer } from './pod-template.ts'
import { PodValues, type OpenedValues, type WantedValues } from './pod-values.ts'
import { releaseKey } from './ref-key.ts'
import { routeState } from './route-facts.ts'
import { SLOTS, type ObservedSlots } from './slots.ts'

export interface ReconcilerOptions {
  readonly client: ClusterClient
  readonly objects: OwnedObjects
  readonly facts: () => Promise<ClusterFacts>
  readonly settings: EngineSettings
  readonly podDoor?: EngineDoor | undefined
  /** What is planned for an app is something else now, as a value of it is. */
  readonly onValues: (ref: AppRef) => void
  readonly clock: Clock
  readonly log: Log
}

/** Of the plan's settings what does not come from the cluster. */
export type EngineSettings = Omit<PlanSettings, 'facts' | 'slots' | 'podDoor' | 'values'>

/** Looks at an app that needs nothing this often all the same. */
const RESYNC_MS = 1_800_000
/** What is replaced is taken away once its replacement is ready; readiness is announced, this is for what is not. */
const SOON_MS = 30_000

/** What stands in the way, and whether the old may go. */
export interface Progress {
  /** Every copy that is wanted is ready. */
  readonly ready: boolean
  /** Copies of other releases still exist. */
  readonly old: boolean
  /** Every copy is of what was applied last. */
  readonly settled: boolean
}

/** The last plan of an app, without its objects, and what it was made from besides the model. */
interface KnownPlan {
  readonly facts: ClusterFacts
  readonly podDoor: PlanSettings['podDoor']
  readonly basis: string
  readonly outlines: readonly Outline[]
}

/** Makes the cluster hold what is planned for one app; called again and again, it writes only what differs. */
export class Reconciler {
  readonly applier: Applier
  readonly #options: ReconcilerOptions
  readonly #plans = new WeakMap<DesiredApp, KnownPlan>()
  readonly #facts: KnownFacts
  readonly #values: PodValues | null
  #door: PodDoor | null = null

  constructor(options: ReconcilerOptions) {
    const { client, objects, settings, podDoor, onValues, clock, log } = options
    this.#options = options
    this.#values =
      podDoor === undefined
        ? null
        : new PodValues({ secrets: podDoor.values, onChange: onValues, clock, log })
    this.#facts = new KnownFacts({ read: options.facts, clock, log })
    this.applier = new Applier({ client, objects, owner: settings.owner })
  }

  /** What a plan of the app depends on, without its values. */
  async settings(ref: AppRef): Promise<PlanSettings> {
    const facts = await this.#facts.get()
    return { ...this.#options.settings, facts, slots: this.#slots(ref) }
  }

  /** The same for a run, with its values, which are kept good until `task` has ended. */
  async forRun<T>(job: JobRequest, task: (settings: PlanSettings) => Promise<T>): Promise<T> {
    const wanted = wantedOf([[job.process, job]])
    try {
      const copies = [{ ...job, process: processOf(job) }]
      return await task(await this.#opened(job.ref, wanted, { holder: job, copies }))
    } finally {
      this.#values?.release(job.ref, job)
    }
  }

  /** Why values of a process of a release are not looked after; null where they are. */
  trouble(ref: AppRef, process: string, release: number): string | null {
    return this.#values?.trouble(ref, releaseKey(process, release)) ?? null
  }

  close(): void {
    this.#values?.close()
  }

  /** True where nothing of the plan is left to write; false before the first pass. Asked for every change that anybody watches. */
  isApplied(desired: DesiredApp): boolean {
    const facts = this.#facts.current
    const known = this.#plans.get(desired)
    if (facts === null || known === undefined || !this.#options.objects.synced) return false
    const wanted = wantedIn(desired)
    const podDoor = this.#door
    if (podDoor === null && copiesIn(desired).some(callsServer)) return false
    const values = this.#values === null ? NONE_OPEN : this.#values.known(desired.ref, wanted)
    if (values === null) return false
    const slots = this.#slots(desired.ref)
    const settings = { ...this.#options.settings, podDoor, values, facts, slots }
    const outlines = this.#known(desired, settings) ?? this.#plan(desired, settings).outlines
    return this.#areApplied(outlines)
  }

  /** One pass. Resolves with the time after which to look again. @throws FairwayError CLUSTER_… */
  async converge(
    desired: DesiredApp,
    progress: () => Progress,
    adopt: ReadonlySet<string>,
  ): Promise<number> {
    const { ref } = desired
    const wanted = wantedIn(desired)
    const opening = { holder: SERVED, copies: copiesIn(desired) }
    const settings = await this.#opened(ref, wanted, opening)
    const { applied, outlines } = await this.#apply(desired, settings, adopt)
    const { ready, old, settled } = progress()
    const mayReplace = ready && this.#areRoutesFollowed(ref)
    const isOver = mayReplace && !old && settled
    const pruned = await this.applier.prune(ref, outlines, (kind) => {
      if (AT_ONCE.has(kind.kind)) return true
      return USED_BY_COPIES.has(kind.kind) ? isOver : mayReplace
    })
    if (isOver) this.#values?.release(ref, SERVED, new Set(wanted.keys()))
    if (applied + pruned > 0)
      this.#options.log.info({ app: refKey(ref), applied, pruned }, 'objects written')
    return isOver ? RESYNC_MS : SOON_MS
  }

  /** One pass towards nothing: true when nothing is left. @throws FairwayError CLUSTER_… */
  async end(ref: AppRef): Promise<boolean> {
    const { client, objects, settings } = this.#options
    this.#values?.release(ref, SERVED)
    const gone = await removeNamespace(namespaceOf(ref), { client, objects, owner: settings.owner })
    if (gone) this.applier.forget(namespaceOf(ref))
    return gone
  }

  // Private

  /** @param opening.copies of what it has pods. @throws FairwayError for what cannot be planned, as plans are made where nothing may fail */
  async #opened(
    ref: AppRef,
    wanted: WantedValues,
    { holder, copies }: { readonly holder: unknown; readonly copies: readonly Copy[] },
  ): Promise<PlanSettings> {
    if (copies.some(({ process }) => process.identity)) expectIdentities(await this.#facts.get())
    if (this.#door === null && copies.some(callsServer))
      this.#door = (await this.#options.podDoor?.door()) ?? null
    const values = (await this.#values?.open(ref, wanted, holder)) ?? NONE_OPEN
    return { ...(await this.settings(ref)), podDoor: this.#door, values }
  }

  /** A Gateway that goes by an older route still sends requests to what the newer one does not name. */
  #areRoutesFollowed(ref: AppRef): boolean {
    const { objects, clock } = this.#options
    return objects
      .routes(namespaceOf(ref))
      .every((route) => route.deleting || !routeState(route, clock.now()).holds)
  }

  /** Most passes follow a change of a status and find everything applied: they plan nothing. */
  async #apply(
    desired: DesiredApp,
    settings: PlanSettings,
    adopt: ReadonlySet<string>,
  ): Promise<{ readonly applied: number; readonly outlines: readonly Outline[] }> {
    const known = this.#known(desired, settings)
    if (known !== null && this.#areApplied(known)) return { applied: 0, outlines: known }
    const { objects, outlines } = this.#plan(desired, settings)
    const { applied } = await this.applier.apply(objects, { adopt })
    return { applied, outlines }
  }

  /** Null where a plan from these settings may be another one than the last. */
  #known(desired: DesiredApp, settings: PlanSettings): readonly Outline[] | null {
    const known = this.#plans.get(desired)
    const { facts, podDoor } = settings
    if (known?.facts !== facts || known.podDoor !== podDoor) return null
    return known.basis === basisOf(desired, settings) ? known.outlines : null
  }

  #plan(
    desired: DesiredApp,
    settings: PlanSettings,
  ): { readonly objects: readonly KubeObject[]; readonly outlines: readonly Outline[] } {
    const objects = planApp(desired, settings)
    const outlines = objects.map(outlineOf)
    const { facts, podDoor } = settings
    this.#plans.set(desired, { facts, podDoor, basis: basisOf(desired, settings), outlines })
    return { objects, outlines }
  }

  #areApplied(outlines: readonly Outline[]): boolean {
    return outlines.every((outline) => this.applier.isApplied(outline))
  }

  #slots(ref: AppRef): ReadonlyMap<ProcessName, ObservedSlots> {
    const slots = new Map<ProcessName, ObservedSlots>()
    for (const object of this.#options.objects.workloads(namespaceOf(ref))) {
      const slot = SLOTS.find((one) => one === object.slot)
      if (slot === undefined || object.process === '' || object.deleting) continue
      const process = parseProcessName(object.process)
      const observed = { release: object.release, ready: object.available }
      slots.set(process, { ...slots.get(process), [slot]: observed })
    }
    return slots
  }
}

/** Holds the values of what serves. */
const SERVED = 'served'
const NONE_OPEN: ReadonlyMap<string, OpenedValues> = new Map()

function wantedIn({ workloads }: DesiredApp): WantedValues {
  return wantedOf(
    workloads.flatMap(({ process, tracks }) => tracks.map((track) => [process, track] as const)),
  )
}

type Copy = Parameters<typeof callsServer>[0]

function copiesIn({ workloads }: DesiredApp): readonly Copy[] {
  return workloads.flatMap(({ tracks }) =>
    tracks.map(({ secrets, spec }) => ({ secrets, process: spec })),
  )
}

function wantedOf(
  parts: readonly (readonly [ProcessName, Pick<Track, 'release' | 'secrets'>])[],
): WantedValues {
  return new Map(
    parts.flatMap(([process, { release, secrets }]) =>
      secrets === undefined ? [] : [[releaseKey(process, release), secrets] as const],
    ),
  )
}

/** Of what a plan is made from, all that changes besides the facts: slots, as they are assigned, and values. How many copies are ready is none of it. */
function basisOf({ workloads }: DesiredApp, settings: PlanSettings): string {
  const slots = workloads.map((workload) =>
    slotsOf(workload, settings).map(({ slot, track }) => [slot, track.name, track.release]),
  )
  return JSON.stringify([...slots, ...[...(settings.values ?? NONE_OPEN)].map(versionsOf)])
}

function versionsOf([key, { envVersion, restart }]: readonly [string, OpenedValues]): string {
  return `${key} ${envVersion} ${restart}`
}

/** What must not act any longer than it is wanted. */
const AT_ONCE: ReadonlySet<string> = new Set([
  KINDS.HorizontalPodAutoscaler.kind,
  KINDS.Ingress.kind,
  KINDS.HTTPRoute.kind,
])
/** What a copy of an old release may still need to start again. */
const USED_BY_COPIES: ReadonlySet<string> = new Set([
  KINDS.Secret.kind,
  KINDS.ConfigMap.kind,
  KINDS.ServiceAccount.kind,
])

/** Any failure as one that can be shown. */
export function asFairwayError(error: unknown): FairwayError {
  if (error instanceof FairwayError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new FairwayError('INTERNAL', message, { cause: error })
}

/** A failure that only people can end; a webhook or a namespace on its way out may pass. */
export function isLasting({ code, details }: FairwayError, failures: number): boolean {
  if (code === 'CLUSTER_UNREACHABLE' || details['deleting'] === true) return false
  const terminating = isRecord(details) && details['reason'] === 'NamespaceTerminating'
  return !terminating && failures >= (details['webhook'] === true ? 3 : 2)
}
