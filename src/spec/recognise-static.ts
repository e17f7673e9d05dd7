import type { Detector } from './recognise.ts'

/** Folders that site generators write into, tried where the root has no index.html. */
const ROOTS = ['.', 'public', 'dist', 'build', '_site', 'out', 'site', 'www', 'htdocs']

export const recogniseStatic: Detector = {
  kind: 'static',
  looksFor: `index.html in ${ROOTS.slice(1).join(', ')} or the folder itself`,
  detect({ view, command }) {
    // A command with nothing that it could run is a mistake; serving the folder instead would hide it.
    if (command !== null) return Promise.resolve(null)
    const paths = new Set(view.paths())
    const root = ROOTS.find((folder) =>
      paths.has(folder === '.' ? 'index.html' : `${folder}/index.html`),
    )
    if (root === undefined) return Promise.resolve(null)
    const evidence = `static site (${root === '.' ? 'index.html' : `${root}/index.html`})`
    return Promise.resolve({ plan: { kind: 'static', root }, evidence })
  },
}
