import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing } from '../lib/missing-file.ts'

/**
 * Where records of leases may lie: among the spare ones, in folders of instances and of build steps. Only there is looked, never deeper: beside a
 * lease the root filesystem of an instance is mounted, and what is in it, endless circles of links too, is the app's.
 */
export async function leaseFiles(runDir: string): Promise<readonly string[]> {
  const spare = join(runDir, 'spare')
  const files = (await entries(spare)).map((name) => join(spare, name))
  for (const parent of ['instances', 'steps']) {
    for (const id of await entries(join(runDir, parent))) {
      files.push(join(runDir, parent, id, 'lease.json'))
    }
  }
  return files.filter((file) => file.endsWith('.json'))
}

// Private

async function entries(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}
