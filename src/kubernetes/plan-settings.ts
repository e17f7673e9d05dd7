import type { ProcessName } from '../model/names.ts'
import type { AppRef } from '../model/names.ts'
import type { Digest } from '../model/release.ts'
import type { ClusterFacts } from './cluster-facts.ts'
import type { PodDoor } from './pod-door.ts'
import type { OpenedValues } from './pod-values.ts'
import type { ObservedSlots } from './slots.ts'

/** What a plan depends on besides the model. Equal settings and equal input give equal objects. */
export interface PlanSettings {
  readonly facts: ClusterFacts
  /** Name of this installation: two of them on one cluster never touch each other's objects. A label value. */
  readonly owner: string
  /** Reference by digest under which nodes pull an image: 'registry.example.com/shop@sha256:…'. */
  readonly imageOf: (digest: Digest, ref: AppRef) => string
  readonly pullSecret: PullSecret | null
  /** What runs in the slots now; empty = nothing, or an export that looks at no cluster. */
  readonly slots: ReadonlyMap<ProcessName, ObservedSlots>
  /** Tells a text from others in the names of objects, and nothing of it to whoever reads the name: keyed. Ten characters of a name. */
  readonly fingerprint: (text: string) => string
  /** Host of a route that names none. */
  readonly defaultHost: (ref: AppRef) => string
  /** Where pods ask the server; only apps with values or identities need it. */
  readonly podDoor?: PodDoor | null
  /** Opened values by `process@release`, of processes with variables from secrets or files that change without a release. */
  readonly values?: ReadonlyMap<string, OpenedValues>
  /** Seconds that a copy must stay ready until it counts. */
  readonly minReadySeconds?: number
}

export interface PullSecret {
  readonly name: string
  /** Text of a `.dockerconfigjson`. */
  readonly dockerConfigJson: string
}

export const MIN_READY_SECONDS = 10

export type BaseSettings = Omit<PlanSettings, 'slots' | 'defaultHost'>
