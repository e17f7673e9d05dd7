import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { LayerEntry } from '../oci/layer-entry.ts'

/** `secrets-fetcher.ts` and all that it imports, below the root of this installation. */
export const FETCHER_SOURCES = [
  'src/bin/secrets-fetcher.ts',
  'src/bin/environment.ts',
  'src/model/instance-secrets.ts',
] as const
/** Tells Node which kind of modules these are. */
export const FETCHER_PACKAGE = '{"name":"fairway-secrets","private":true,"type":"module"}\n'

/** The files of the image that fetches values in pods. */
export async function fetcherFiles(
  root: string = resolve(import.meta.dirname, '../..'),
): Promise<readonly LayerEntry[]> {
  const entry = (path: string, bytes: Uint8Array): LayerEntry => ({
    type: 'file',
    path: `app/${path}`,
    mode: 0o644,
    content: { bytes },
  })
  const sources: LayerEntry[] = []
  for (const path of FETCHER_SOURCES) sources.push(entry(path, await readFile(join(root, path))))
  return [entry('package.json', Buffer.from(FETCHER_PACKAGE)), ...sources]
}
