import type { ClusterClient, ObjectName } from './cluster-client.ts'
import { FIELD_MANAGER } from './cluster-client.ts'
import { at, listAt, numberAt, textAt, type Json } from './json-value.ts'
import type { KubeObject } from './object.ts'

/** Holds the number of copies from when it stops being ours until a scaler writes it. */
export const HANDOVER_MANAGER = 'fairway-scaler'

/**
 * A field that nobody applies any more falls back to its default: a Deployment of five copies that gets a scaler would have one until the scaler has looked.
 * So before our plan stops naming the number, another manager takes the number that is there.
 */
export async function handOverReplicas(
  client: ClusterClient,
  name: ObjectName,
  planned: KubeObject,
): Promise<void> {
  if (planned.kind !== 'Deployment' || at(planned, 'spec', 'replicas') !== undefined) return
  const live = await client.get(name)
  if (live === null || !ownsReplicas(live)) return
  const { apiVersion, kind, metadata } = planned
  const held = {
    apiVersion,
    kind,
    metadata: { name: metadata.name, namespace: metadata.namespace },
    spec: { replicas: numberAt(live, 'spec', 'replicas') },
  }
  await client.apply(name, held, { manager: HANDOVER_MANAGER, force: true })
}

// Private

function ownsReplicas(live: Json): boolean {
  return listAt(live, 'metadata', 'managedFields').some(
    (entry) =>
      textAt(entry, 'manager') === FIELD_MANAGER &&
      textAt(entry, 'operation') === 'Apply' &&
      at(entry, 'fieldsV1', 'f:spec', 'f:replicas') !== undefined,
  )
}
