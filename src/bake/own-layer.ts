import type { SourceEntry } from '../model/source.ts'
import { count, size } from './amounts.ts'
import { appLayer } from './app-tree.ts'
import type { PlacedLayer, SourceJob } from './bake-job.ts'
import { keyedLayer } from './keyed-layer.ts'
import { layerKey } from './layer-key.ts'

/** The app's own files in /app, made once for the same files. @param own entries of the job's tree, as they shall be in the image */
export async function ownLayer(job: SourceJob, own: readonly SourceEntry[]): Promise<PlacedLayer> {
  const bytes = own.reduce((sum, entry) => sum + (entry.type === 'file' ? entry.size : 0), 0)
  const placed = await keyedLayer(job, layerKey('app', { own }), 'fast', (add) =>
    add(appLayer({ ...job.tree, entries: own }, 'app')),
  )
  job.step(`app: ${count(own.length, 'file')}, ${size(bytes)}`)
  return placed
}
