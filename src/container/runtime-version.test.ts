import assert from 'node:assert/strict'
import { test } from 'node:test'
import { knownProblems } from './runtime-version.ts'

test('versions before a repair are named, later ones are not', () => {
  assert.equal(knownProblems('runc', 'runc version 1.1.5+ds1').length, 4)
  assert.equal(knownProblems('runc', 'runc version 1.2.7').length, 3)
  assert.equal(knownProblems('runc', 'runc version 1.2.8').length, 0)
  assert.equal(knownProblems('runc', 'runc version 1.3.2').length, 3)
  assert.equal(knownProblems('runc', 'runc version 1.3.6').length, 0)
  assert.equal(knownProblems('runc', 'runc version 1.1.5', 'fix CVE-2024-21626').length, 3)
  assert.equal(knownProblems('crun', 'crun version 1.8.1').length, 2)
  assert.equal(knownProblems('crun', 'crun version 1.30').length, 0)
})
