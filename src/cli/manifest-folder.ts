import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { parse } from 'yaml'
import { FairwayError } from '../model/errors.ts'

/** Files of exported folders, and the target that their locks name where they agree. */
export interface ManifestFolder {
  /** By path relative to where the command runs. */
  readonly files: Readonly<Record<string, string>>
  readonly targets: readonly string[]
}

const MAX_BYTES = 8 << 20

/** Reads every .yaml file at and below the paths. @throws FairwayError INVALID_REQUEST where one cannot be read or there is none */
export function readManifestFolder(cwd: string, paths: readonly string[]): ManifestFolder {
  const files: Record<string, string> = {}
  let bytes = 0
  for (const path of paths.flatMap((each) => yamlFiles(resolve(cwd, each), each))) {
    const text = readFileSync(path, 'utf8')
    bytes += text.length
    if (bytes > MAX_BYTES) throw new FairwayError('TOO_LARGE', 'the files have more than 8 MiB')
    files[relative(cwd, path).replace(/^(?:\.\.\/)+/, '')] = text
  }
  if (bytes === 0) {
    throw new FairwayError('INVALID_REQUEST', `no .yaml files in ${paths.join(', ')}`, {
      hint: '`fairway export -o DIR` writes them.',
    })
  }
  const locks = Object.entries(files).filter(([path]) => path.endsWith('app.lock.yaml'))
  const targets = locks.flatMap(([, text]) => targetIn(text))
  return { files, targets: [...new Set(targets)] }
}

function yamlFiles(full: string, shown: string): readonly string[] {
  try {
    if (!statSync(full).isDirectory()) return [full]
    return readdirSync(full, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.ya?ml$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
    throw new FairwayError('INVALID_REQUEST', `${shown} cannot be read (${why})`)
  }
}

function targetIn(text: string): readonly string[] {
  const lock: unknown = parse(text, { maxAliasCount: 0 })
  if (typeof lock !== 'object' || lock === null || !('target' in lock)) return []
  return typeof lock.target === 'string' ? [lock.target] : []
}
