import { existsSync, readFileSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { z } from 'zod'
import type { PlatformFiles } from '../bake/platform-image.ts'
import { FairwayError } from '../model/errors.ts'
import type { LayerEntry } from '../oci/layer-entry.ts'

const lock = z.object({
  packages: z.record(
    z.string(),
    z.looseObject({ dev: z.boolean().optional(), devOptional: z.boolean().optional() }),
  ),
})

/** Programs of the runtime, which the image has as a layer of its own, and what only builds need. */
const NOT_SHIPPED = /^node_modules\/node-(?:bin|linux)/

/**
 * The files of this very installation as they go into the image of the control plane: sources without tests, and the installed packages that production needs.
 * @throws FairwayError PACKAGE_UNAVAILABLE where a package is not installed
 */
export async function platformFiles(
  root: string = resolve(import.meta.dirname, '../..'),
): Promise<PlatformFiles> {
  const source: LayerEntry[] = [await read(root, 'package.json'), await read(root, 'LICENSE')]
  for (const path of await walk(root, 'src', () => true))
    if (!path.endsWith('.test.ts')) source.push(await read(root, path))
  const modules: LayerEntry[] = []
  for (const name of productionPackages(root))
    for (const path of await walk(root, name, (folder) => folder !== 'node_modules'))
      modules.push(await entry(root, path))
  return { source, modules }
}

function productionPackages(root: string): readonly string[] {
  const { packages } = lock.parse(JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')))
  const wanted = Object.entries(packages).filter(
    ([path, { dev, devOptional }]) =>
      path !== '' && dev !== true && devOptional !== true && !NOT_SHIPPED.test(path),
  )
  const missing = wanted.filter(
    ([path, { optional }]) => optional !== true && !existsSync(join(root, path)),
  )
  if (missing.length > 0)
    throw new FairwayError(
      'PACKAGE_UNAVAILABLE',
      `this installation lacks ${missing.map(([path]) => path).join(', ')}`,
      { hint: 'Install Fairway again: npm ci.' },
    )
  return wanted.map(([path]) => path).filter((path) => existsSync(join(root, path)))
}

/** Paths of the files below a folder, relative to `root`, sorted; links are not followed. */
async function walk(
  root: string,
  folder: string,
  enter: (name: string) => boolean,
): Promise<string[]> {
  const found: string[] = []
  const entries = await readdir(join(root, folder), { withFileTypes: true })
  for (const one of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, one.name)
    if (one.isFile()) found.push(path)
    else if (one.isDirectory() && enter(one.name)) found.push(...(await walk(root, path, enter)))
  }
  return found
}

async function entry(root: string, path: string): Promise<LayerEntry> {
  const file = join(root, path)
  const { size, mode } = await stat(file)
  return {
    type: 'file',
    path: `app/${relative(root, file)}`,
    mode: (mode & 0o100) === 0 ? 0o644 : 0o755,
    content: { file, size },
  }
}

/** Read at once: an update of this installation under way would change files between one look and the next. */
async function read(root: string, path: string): Promise<LayerEntry> {
  const bytes = await readFile(join(root, path))
  return { type: 'file', path: `app/${path}`, mode: 0o644, content: { bytes } }
}
