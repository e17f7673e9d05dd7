import { hash } from 'node:crypto'
import { isName, parseAppName, parseEnvironmentName, type AppRef } from '../model/names.ts'
import { recordAt, textAt, type Json } from './json-value.ts'

/** What every object of ours carries; `plan-app.ts` puts them on, everything else reads them here. */
export const LABELS = Object.freeze({
  managedBy: 'app.kubernetes.io/managed-by',
  owner: 'fairway/owner',
  app: 'fairway/app',
  environment: 'fairway/environment',
  process: 'fairway/process',
  release: 'fairway/release',
  slot: 'fairway/slot',
  /** `service` for copies of a process, `job`, `cron`: what Services and budgets select must not be a job of the same process. */
  kind: 'fairway/kind',
  /** On pods and Jobs of release commands and `fairway run`. */
  job: 'fairway/job',
  /** On pods with a program of ours that calls the server. */
  calls: 'fairway/calls',
})

/** Hash of the plan that an object was last applied from. */
export const PLAN_ANNOTATION = 'fairway/plan'

/** On pods: fingerprint of the values that they began with and that can change without a release. */
export const VALUES_ANNOTATION = 'fairway/values'

/** Selects what this installation owns in a cluster, and nothing of another one's. */
export function ownedBy(owner: string): string {
  return `${LABELS.managedBy}=fairway,${LABELS.owner}=${owner}`
}

export function labelOf(object: Json, label: string): string {
  return textAt(recordAt(object, 'metadata', 'labels'), label)
}

/** Null where the labels do not say which app it is. */
export function refOf(object: Json): AppRef | null {
  const app = labelOf(object, LABELS.app)
  const environment = labelOf(object, LABELS.environment)
  if (!isName(app) || !isName(environment)) return null
  return { app: parseAppName(app), environment: parseEnvironmentName(environment) }
}

/** `<app>--<environment>`; where that is longer than a DNS label may be, cut and told apart by a hash. */
export function namespaceOf(ref: AppRef): string {
  return shortName(`${ref.app}--${ref.environment}`)
}

/** A name that fits a DNS label (63 characters, RFC 1123): itself, or its beginning with a hash of the whole. */
export function shortName(name: string): string {
  if (name.length <= 63) return name
  return `${name.slice(0, 52).replace(/-+$/, '')}-${hash('sha256', name, 'hex').slice(0, 10)}`
}
