import type { LayerEntry } from '../oci/layer-entry.ts'
import type { LayerJob, PlacedLayer } from './bake-job.ts'

/** gzip levels: `fast` where a person waits for it at every deploy, `small` for what is made once per runtime version. */
export const LEVELS = { fast: 1, small: 6 } as const

export type Entries = Iterable<LayerEntry> | AsyncIterable<LayerEntry>

/**
 * The layer with this key: the stored one, or made now. Two bakes that need the same layer make it once.
 * @param key from layerKey(): everything that decides the content
 * @param make calls `add` with the entries, whose files must be there until it resolves
 */
export async function keyedLayer(
  job: LayerJob,
  key: string,
  level: keyof typeof LEVELS,
  make: (add: (entries: Entries) => Promise<PlacedLayer>) => Promise<PlacedLayer>,
): Promise<PlacedLayer> {
  const { locks } = job.kitchen
  const found = await knownLayer(job, key)
  if (found !== null) return found
  return locks.run(`layer ${key}`, async () => {
    const meanwhile = await knownLayer(job, key)
    return meanwhile ?? make((entries) => addLayer(job, entries, { key, level }))
  })
}

/** Null where no layer was made with this key, or it was collected. */
export async function knownLayer(job: LayerJob, key: string): Promise<PlacedLayer | null> {
  const layer = await job.kitchen.images.findLayer(key)
  return layer === null ? null : { layer, created: false }
}

/** Without a key: a layer that is made at every bake; the store recognises one that it has. */
export async function addLayer(
  job: LayerJob,
  entries: Entries,
  options: { readonly key?: string; readonly level: keyof typeof LEVELS },
): Promise<PlacedLayer> {
  const { created, ...layer } = await job.kitchen.images.addLayer(entries, {
    level: LEVELS[options.level],
    ...(options.key === undefined ? {} : { key: options.key }),
  })
  return { layer, created }
}
