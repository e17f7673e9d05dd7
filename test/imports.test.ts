import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'

const source = resolve(import.meta.dirname, '../src')

/** Folder -> folders it may import; the same table stands in docs/architecture.md. `bin` may import everything, nothing imports `bin`. */
export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  model: [],
  oci: ['lib'],
  debian: ['lib'],
  sops: ['lib'],
  spec: ['model'],
  contract: ['model'],
  bake: ['oci', 'debian', 'model', 'lib'],
  registry: ['oci', 'lib'],
  container: ['oci', 'model', 'lib'],
  machine: ['model', 'lib'],
  process: ['model', 'lib'],
  kubernetes: ['model', 'lib'],
  router: ['model', 'lib'],
  store: ['model', 'lib'],
  identity: ['model', 'lib'],
  telemetry: ['model', 'lib'],
  workload: ['model', 'lib'],
  vault: ['model', 'lib'],
  audit: ['model', 'lib'],
  reconcile: ['model', 'lib'],
  api: ['contract', 'model', 'lib'],
  client: ['contract'],
  secrets: ['sops', 'model', 'lib'],
  cli: ['client', 'contract', 'spec', 'secrets', 'audit', 'model', 'lib'],
}

interface Import {
  readonly file: string
  readonly from: string
  readonly to: string
}

function imports(): Import[] {
  const found: Import[] = []
  for (const entry of readdirSync(source, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts') || entry.name.endsWith('.test.ts')) continue
    const file = join(entry.parentPath, entry.name)
    for (const match of readFileSync(file, 'utf8').matchAll(
      /(?:from|import)\s*\(?\s*'(\.[^']+)'/g,
    )) {
      const target = relative(source, resolve(dirname(file), match[1] ?? ''))
      found.push({
        file: relative(source, file),
        from: top(relative(source, file)),
        to: top(target),
      })
    }
  }
  return found
}

function top(path: string): string {
  return path.split('/')[0] ?? ''
}

test('every folder imports only what the table allows', () => {
  const wrong = imports().filter(
    ({ from, to }) => from !== to && from !== 'bin' && !(MAY_IMPORT[from] ?? []).includes(to),
  )
  assert.deepEqual(wrong, [])
})

test('every source folder stands in the table', () => {
  const folders = readdirSync(source, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
  assert.deepEqual(
    folders.filter((name) => name !== 'bin' && !(name in MAY_IMPORT)),
    [],
  )
})
