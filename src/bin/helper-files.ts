import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { LayerEntry } from '../oci/layer-entry.ts'

/** Our programs in pods of apps and all that they import, below the root of this installation. A test runs them with nothing else. */
export const HELPER_SOURCES = [
  'src/bin/secrets-fetcher.ts',
  'src/bin/identity-keeper.ts',
  'src/bin/identity-ready.ts',
  'src/bin/environment.ts',
  'src/bin/server-call.ts',
  'src/lib/memory-files.ts',
  'src/lib/missing-file.ts',
  'src/model/errors.ts',
  'src/model/instance-secrets.ts',
  'src/model/secrets.ts',
  'src/workload/far-authority.ts',
  'src/workload/grpc.ts',
  'src/workload/holder.ts',
  'src/workload/pem.ts',
  'src/workload/protobuf.ts',
  'src/workload/spiffe-id.ts',
  'src/workload/workload-api.ts',
] as const
/** Tells Node which kind of modules these are. */
export const HELPER_PACKAGE = '{"name":"fairway-helpers","private":true,"type":"module"}\n'

/** The files of the image of our programs in pods. */
export async function helperFiles(
  root: string = resolve(import.meta.dirname, '../..'),
): Promise<readonly LayerEntry[]> {
  const entry = (path: string, bytes: Uint8Array): LayerEntry => ({
    type: 'file',
    path: `app/${path}`,
    mode: 0o644,
    content: { bytes },
  })
  const sources: LayerEntry[] = []
  for (const path of HELPER_SOURCES) sources.push(entry(path, await readFile(join(root, path))))
  return [entry('package.json', Buffer.from(HELPER_PACKAGE)), ...sources]
}
