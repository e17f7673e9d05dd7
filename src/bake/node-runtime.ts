import { stat } from 'node:fs/promises'
import { baseLayer } from './base-layer.ts'
import type { LayerJob, PlacedLayer } from './bake-job.ts'
import { keyedLayer } from './keyed-layer.ts'
import { layerKey } from './layer-key.ts'
import { nodeBinary, nodeVersion } from './node-version.ts'

export interface NodeRuntime {
  /** '24.21.0'. */
  readonly version: string
  /** Base and runtime, lowest first. */
  readonly layers: readonly PlacedLayer[]
}

const NODE_PATH = 'usr/local/bin/node'

/** Node from npm's `node-linux-*` packages on the Debian libraries that it loads. */
export async function nodeRuntime(job: LayerJob, major: number): Promise<NodeRuntime> {
  const version = await nodeVersion(job, major)
  // A binary that is not here yet is fetched for its libraries' sake only when the base has to be made.
  const base = await baseLayer(job, {
    name: `node${String(major)}`,
    whole: [],
    libraries: ['libc6', 'libstdc++6', 'libgcc-s1'],
    roots: () => nodeBinary(job, version).then((file) => [{ path: `/${NODE_PATH}`, file }]),
  })
  const key = layerKey('node', { version, architecture: job.kitchen.architecture })
  const runtime = await keyedLayer(job, key, 'small', async (add) => {
    const file = await nodeBinary(job, version)
    const { size } = await stat(file)
    return add([{ type: 'file', path: NODE_PATH, mode: 0o755, content: { file, size } }])
  })
  job.step(`runtime: Node ${version}${runtime.created ? '' : ' (cached)'}`)
  return { version, layers: [base, runtime] }
}
