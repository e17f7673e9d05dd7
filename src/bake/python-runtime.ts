import { run } from '../lib/process.ts'
import { baseLayer } from './base-layer.ts'
import type { BakeJob, PlacedLayer } from './bake-job.ts'

/** Debian 12's Python. */
export const PYTHON = '3.11'

/** Python of Debian with its whole standard library, and the libraries that wheels expect of every system (PEP 600). */
export function pythonRuntime(job: BakeJob): Promise<PlacedLayer> {
  return baseLayer(job, {
    name: `python${PYTHON}`,
    whole: [
      `python${PYTHON}`,
      `python${PYTHON}-minimal`,
      `libpython${PYTHON}-stdlib`,
      `libpython${PYTHON}-minimal`,
      'media-types',
      'libstdc++6',
      'libgcc-s1',
      'zlib1g',
      'libexpat1',
    ],
    libraries: ['libc6'],
    roots: () => Promise.resolve([]),
    exclude: ['debconf', 'dpkg', 'perl'],
    extra: ['python3', 'python'].map((name) => ({
      type: 'symlink',
      path: `usr/bin/${name}`,
      target: `python${PYTHON}`,
    })),
  })
}

/** What packages are installed for: the layer with Python, or the host's own Python. */
export async function pythonIdentity(job: BakeJob, runtime: PlacedLayer | null): Promise<string> {
  if (runtime !== null && job.kitchen.sandbox.flavour === 'image') return runtime.layer.diffId
  const { path, hostEnv } = job.kitchen.sources
  const said = await run('python3', ['-VV'], { env: { ...hostEnv, PATH: path }, timeoutMs: 30_000 })
  return `${process.platform} ${process.arch} ${said.trim()}`
}
