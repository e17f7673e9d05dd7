import { parseAllDocuments } from 'yaml'
import { FairwayError } from '../model/errors.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { ManifestFiles } from '../model/manifests.ts'
import { isRecord, textAt, type Json } from './json-value.ts'
import { kindOf, type Kind } from './kinds.ts'
import { labelOf, LABELS, namespaceOf, refOf } from './labels.ts'

/** Owner of what is applied from files: no server's name, so that no server takes it for its own. */
export const FILES_OWNER = 'files'

/** One object of a file. */
export interface ManifestObject {
  readonly kind: Kind
  readonly namespace: string | null
  readonly name: string
  readonly ref: AppRef
  readonly object: Json
}

const POD_SECURITY = 'pod-security.kubernetes.io/enforce'
const ALLOWED = new Set([
  'Namespace',
  'ServiceAccount',
  'Secret',
  'PersistentVolumeClaim',
  'Deployment',
  'StatefulSet',
  'Service',
  'Job',
  'CronJob',
  'HorizontalPodAutoscaler',
  'PodDisruptionBudget',
  'NetworkPolicy',
  'Ingress',
  'HTTPRoute',
  'ReferenceGrant',
])
/** For other tools: not objects of a cluster. */
const OTHERS = /(?:^|\/)(?:kustomization|app\.lock)\.yaml$/

/**
 * The objects of exported files, in the order in which they are applied. Only what an export writes is taken: known kinds, our labels, the namespace of the app.
 * @throws FairwayError INVALID_REQUEST naming file and object
 */
export function readManifests(files: ManifestFiles): readonly ManifestObject[] {
  return [...files]
    .filter(([path]) => !OTHERS.test(path))
    .sort(([a], [b]) => (baseName(a) < baseName(b) ? -1 : 1))
    .flatMap(([path, text]) => readFile(path, text))
}

// Private

function readFile(path: string, text: string): readonly ManifestObject[] {
  return [...parseAllDocuments(text)].map((document) => {
    const [error] = document.errors
    if (error !== undefined) throw invalid(path, error.message.split('\n')[0] ?? 'not YAML')
    let value: unknown
    try {
      value = document.toJS({ maxAliasCount: 0 })
    } catch {
      throw invalid(path, 'aliases are not allowed')
    }
    if (!isRecord(value)) throw invalid(path, 'a document is not an object')
    return checked(path, value)
  })
}

function checked(path: string, object: Json): ManifestObject {
  const kind = kindOf(textAt(object, 'apiVersion'), textAt(object, 'kind'))
  const name = textAt(object, 'metadata', 'name')
  const what = `${textAt(object, 'kind')} ${name}`
  if (kind === null || !ALLOWED.has(kind.kind))
    throw invalid(path, `${what} is of a kind that no export writes`)
  const ref = refOf(object)
  if (ref === null || labelOf(object, LABELS.managedBy) !== 'fairway')
    throw invalid(path, `${what} lacks the labels of an export`)
  if (labelOf(object, LABELS.owner) !== FILES_OWNER)
    throw invalid(path, `${what} belongs to ${labelOf(object, LABELS.owner)}, not to files`)
  if (kind.kind === 'Namespace' && labelOf(object, POD_SECURITY) !== 'restricted')
    throw invalid(path, `${what} does not enforce the level restricted`)
  const namespace = kind.namespaced ? textAt(object, 'metadata', 'namespace') : null
  if ((namespace ?? name) !== namespaceOf(ref))
    throw invalid(path, `${what} is not in the namespace ${namespaceOf(ref)} of ${refKey(ref)}`)
  return { kind, namespace, name, ref, object }
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

function invalid(path: string, why: string): FairwayError {
  return new FairwayError('INVALID_REQUEST', `${path}: ${why}`, {
    hint: 'Apply what `fairway export` wrote.',
  })
}
