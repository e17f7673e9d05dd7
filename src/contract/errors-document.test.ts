import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { ERRORS } from '../model/errors.ts'
import { errorsDocument } from './errors-document.ts'

const page = readFileSync(resolve(import.meta.dirname, '../../docs/errors.md'), 'utf8')

test('docs/errors.md lists the codes of the table, and no other', () => {
  const listed = [...page.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, code]) => code)
  assert.deepEqual(listed.sort(), Object.keys(ERRORS).sort())
})

test('docs/errors.md is what `npm run docs` writes', () => {
  assert.ok(page === errorsDocument(), 'run `npm run docs`')
})
