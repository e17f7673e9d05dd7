import * as z from 'zod'
import type { Detector } from './recognise.ts'
import type { SourceView } from './source-view.ts'

const ociLayout: Detector = {
  kind: 'oci-layout',
  looksFor: 'oci-layout with index.json',
  async detect({ view }) {
    const roots = view
      .paths()
      .filter((path) => path === 'oci-layout' || /^[^/]+\/oci-layout$/.test(path))
    for (const marker of roots) {
      const path = marker === 'oci-layout' ? '.' : marker.slice(0, -'/oci-layout'.length)
      const index = await view.readText(path === '.' ? 'index.json' : `${path}/index.json`)
      const layout = await view.readText(marker)
      if (index === null || !isOciLayout(layout)) continue
      return { plan: { kind: 'oci-layout', path }, evidence: `OCI image layout (${marker})` }
    }
    return null
  },
}

/** One tar at the top: an image as `docker save`, `podman save` or `skopeo copy oci-archive:` write it. */
const dockerArchive: Detector = {
  kind: 'docker-archive',
  looksFor: 'a tar of `docker save` (manifest.json inside)',
  async detect({ view }) {
    for (const path of view.paths()) {
      if (path.includes('/') || !path.endsWith('.tar')) continue
      const found = await imageInside(view, path)
      if (found === 'docker')
        return { plan: { kind: 'docker-archive', path }, evidence: `image saved as ${path}` }
      if (found === 'oci')
        return { plan: { kind: 'oci-layout', path }, evidence: `OCI image archive ${path}` }
    }
    return null
  },
}

export const recogniseArchive: readonly Detector[] = [ociLayout, dockerArchive]

const layoutSchema = z.object({ imageLayoutVersion: z.string() })

function isOciLayout(text: string | null): boolean {
  try {
    return layoutSchema.safeParse(JSON.parse(text ?? 'null')).success
  } catch {
    // No JSON, so no layout: another file that is called oci-layout.
    return false
  }
}

const BLOCK = 512
const MAX_ENTRIES = 10_000

/** Walks the headers of a tar without reading the contents; manifest.json means `docker save`, oci-layout alone an OCI archive. */
async function imageInside(view: SourceView, path: string): Promise<'docker' | 'oci' | null> {
  const total = view.size(path) ?? 0
  let oci = false
  let offset = 0
  for (let entry = 0; entry < MAX_ENTRIES && offset + BLOCK <= total; entry++) {
    const header = await view.readBytes(path, offset, BLOCK)
    if (header?.length !== BLOCK || header.subarray(257, 262).toString('latin1') !== 'ustar') break
    const name = header.subarray(0, 100).toString('utf8').replace(/\0.*$/s, '').replace(/^\.\//, '')
    if (name === 'manifest.json') return 'docker'
    if (name === 'oci-layout') oci = true
    const size = Number.parseInt(header.subarray(124, 136).toString('latin1').trim(), 8)
    if (!Number.isSafeInteger(size) || size < 0) break
    offset += BLOCK + Math.ceil(size / BLOCK) * BLOCK
  }
  return oci ? 'oci' : null
}
