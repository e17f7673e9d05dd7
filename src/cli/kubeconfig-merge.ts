import { mkdirSync, realpathSync } from 'node:fs'
import { open, readFile, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isMap, isSeq, parseDocument, type Document } from 'yaml'
import { writeAtomically } from '../lib/atomic-file.ts'
import { isMissing } from '../lib/missing-file.ts'
import { FairwayError } from '../model/errors.ts'
import type { Entries } from './kubeconfig-entries.ts'

/** The text of a kubeconfig with these entries in it; everything else stays as it is, comments too. @throws FairwayError INVALID_REQUEST */
export function mergeKubeconfig(text: string, entries: readonly Entries[]): string {
  const document = parseDocument(text.trim() === '' ? EMPTY : text)
  if (document.errors.length > 0 || !isMap(document.contents))
    throw new FairwayError('INVALID_REQUEST', 'the file is not a kubeconfig', {
      hint: 'Name another with --file, or print one and put it there yourself.',
    })
  for (const { name, cluster, user, context } of entries) {
    put(document, 'clusters', { name, cluster })
    put(document, 'users', { name, user })
    put(document, 'contexts', { name, context })
  }
  const [first] = entries
  if (first !== undefined) document.set('current-context', first.name)
  return document.toString({ lineWidth: 0 })
}

/** Merges into a file, readable by its owner alone, under the lock that kubectl takes. @throws FairwayError CONFLICT, INVALID_REQUEST */
export async function mergeIntoFile(path: string, entries: readonly Entries[]): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const file = resolved(path)
  const lock = `${path}.lock`
  try {
    await (await open(lock, 'wx', 0o600)).close()
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    throw new FairwayError('CONFLICT', `${lock} is there: another program changes the file`, {
      hint: `Where none does, delete ${lock}.`,
    })
  }
  try {
    const before = await readFile(file, 'utf8').catch((error: unknown) => {
      if (isMissing(error)) return ''
      throw error
    })
    await writeAtomically(file, mergeKubeconfig(before, entries), { mode: 0o600 })
  } finally {
    await rm(lock, { force: true })
  }
}

// Private

const EMPTY = 'apiVersion: v1\nkind: Config\n'

/** Replaces the entry of the same name, else adds it. */
function put(document: Document, list: string, entry: Readonly<Record<string, unknown>>): void {
  const found = document.get(list)
  if (!isSeq(found)) {
    document.set(list, document.createNode([entry]))
    return
  }
  const index = found.items.findIndex((item) => isMap(item) && item.get('name') === entry['name'])
  if (index < 0) found.add(document.createNode(entry))
  else found.set(index, document.createNode(entry))
}

/** Behind links: replacing the link itself would leave the old file where others look. */
function resolved(path: string): string {
  try {
    return realpathSync(path)
  } catch (error) {
    if (isMissing(error)) return path
    throw error
  }
}
