import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAppName, parseEnvironmentName } from '../model/names.ts'
import { diffSpecs } from './diff-specs.ts'
import { resolveAppFile } from './resolve-app-file.ts'

function spec(text: string) {
  const ref = { app: parseAppName('shop'), environment: parseEnvironmentName('production') }
  return resolveAppFile({
    file: { path: 'f', text: `version: 1\n${text}` },
    ref,
    recognition: null,
  }).spec
}

test('nothing changed is nothing to say', () => {
  const text =
    'env: { A: "1" }\nrelease: { command: a }\nprocesses: { web: { maxAge: 1h }, jobs: {} }'
  assert.deepEqual(diffSpecs(spec(text), spec(text)), [])
})

test('a first deploy lists what is made', () => {
  assert.deepEqual(
    diffSpecs(null, spec('env: { A: "1" }\nprocesses: { web: {}, jobs: { scale: { min: 0 } } }')),
    [
      '+ app shop in production',
      '+ env A',
      '+ process web (web, 1 × 1 cpu, 512Mi)',
      '+ route (default host)/',
      '+ process jobs (worker, 0 × 1 cpu, 512Mi)',
    ],
  )
})

test('changes are named with old and new; values of variables never are', () => {
  const before = spec(`env: { A: secret-1, B: x }
processes:
  web: { routes: { a: { host: old.io } }, env: { C: secret-2 } }
  jobs: {}`)
  const after = spec(`env: { A: secret-3, D: x }
release: { command: node migrate.js --now, timeout: 5m }
build: { command: npm run build }
processes:
  web:
    command: node "a b.js"
    routes: { a: { host: new.io, path: /api } }
    resources: { memory: 1Gi }
    scale: { min: 2 }
    maxAge: 24h`)
  const lines = diffSpecs(before, after)
  assert.deepEqual(lines, [
    '~ build command (default) → npm run build',
    '~ release (default) → node migrate.js --now',
    '~ release timeout (default) → 5m',
    '~ env A',
    '- env B',
    '+ env D',
    '~ web: command (default) → node "a b.js"',
    '~ web: memory 512Mi → 1Gi',
    '~ web: scale 1 → 2',
    '~ web: maximum age (default) → 1d',
    '- web: env C',
    '- route old.io/',
    '+ route new.io/api',
    '- process jobs',
  ])
  assert.ok(!lines.join().includes('secret'))
})
