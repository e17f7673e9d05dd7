import { hash } from 'node:crypto'
import { stringify } from 'yaml'
import { PLAN_ANNOTATION } from './labels.ts'

/** An object as it is sent to a cluster. Fields that the cluster fills in are not in it. */
export interface KubeObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: KubeMetadata
  readonly [field: string]: unknown
}

export interface KubeMetadata {
  readonly name: string
  readonly namespace?: string
  readonly labels: Labels
  readonly annotations: Labels
}

export type Labels = Readonly<Record<string, string>>

export interface ObjectInput {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  /** Null for what belongs to no namespace. */
  readonly namespace: string | null
  readonly labels: Labels
  readonly annotations?: Labels
  /** `spec`, `data` and what else the kind has. */
  readonly fields: Readonly<Record<string, unknown>>
}

/**
 * The object with its keys in a fixed order, fields that are undefined left out, and the hash of all of it as an annotation: equal plans give equal bytes,
 * and who applied one before sees from the annotation alone that nothing changed.
 */
export function kubeObject(input: ObjectInput): KubeObject {
  const { apiVersion, kind, name, namespace, labels, annotations = {}, fields } = input
  const own = sorted(fields)
  const metadata = sorted({ name, namespace, labels, annotations })
  // Its keys stand in order: the text is `canonicalText`, and what is large is put in order once.
  const text = JSON.stringify({ apiVersion, fields: own, kind, metadata })
  const plan = hash('sha256', text, 'hex').slice(0, 16)
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      ...(namespace === null ? {} : { namespace }),
      labels: texts(labels),
      annotations: texts({ ...annotations, [PLAN_ANNOTATION]: plan }),
    },
    ...record(own),
  }
}

/** `Deployment shop--production/web-a`: the key of an object among those of one plan, and what people read. */
export function objectKey({ kind, metadata }: Pick<KubeObject, 'kind' | 'metadata'>): string {
  const { namespace, name } = metadata
  return `${kind} ${namespace === undefined ? name : `${namespace}/${name}`}`
}

/** One YAML document per object; the same objects give the same bytes. */
export function toYaml(objects: readonly KubeObject[]): string {
  return objects.map((object) => stringify(object, YAML_OPTIONS)).join('---\n')
}

/** First characters of the SHA-256 of a value, its keys in order. */
export function contentHash(value: unknown, length = 10): string {
  return hash('sha256', canonicalText(value), 'hex').slice(0, length)
}

/** The same for equal values, in whatever order their keys came. */
export function canonicalText(value: unknown): string {
  return JSON.stringify(sorted(value))
}

// Private

/** YAML 1.1 readers take `yes` and `1e3` for other things than texts: such texts are quoted. */
const YAML_OPTIONS = { version: '1.1', lineWidth: 0, aliasDuplicateObjects: false } as const

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, field]) => [key, sorted(field)]),
  )
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function texts(labels: Labels): Labels {
  return Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))
}
