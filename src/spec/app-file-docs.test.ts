import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { schemaFile, withReference } from './app-file-docs.ts'
import { referenceRows } from './reference.ts'

const docs = resolve(import.meta.dirname, '../../docs')
const advice = 'run: node src/spec/write-docs.ts'

test('docs/fairway.schema.json is current', async () => {
  assert.equal(
    await readFile(resolve(docs, 'fairway.schema.json'), 'utf8'),
    await schemaFile(),
    advice,
  )
})

test('docs/app-file.md is current and documents every key with an example', async () => {
  const page = await readFile(resolve(docs, 'app-file.md'), 'utf8')
  assert.equal(page, await withReference(page), advice)
  const rows = referenceRows()
  assert.ok(rows.length > 100, String(rows.length))
  for (const { key, description, type, example } of rows) {
    assert.ok(page.includes(`\`${key}\``), key)
    assert.notEqual(description, '', `${key} has no description`)
    assert.notEqual(type, '', `${key} has no type`)
    if (!type.includes('map')) assert.notEqual(example, '', `${key} has no example`)
  }
})
