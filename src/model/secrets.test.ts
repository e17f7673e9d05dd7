import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inspect } from 'node:util'
import {
  MAX_PRIVATE_BYTES,
  MAX_PRIVATE_FILES,
  refusedFolder,
  Secret,
  type PrivateFolder,
} from './secrets.ts'

const folder = (entries: readonly (readonly [string, string])[]): PrivateFolder => ({
  name: 'secrets',
  files: new Map(entries.map(([name, value]) => [name, Secret.of(value)])),
})

describe('a secret', () => {
  it('is printed by nothing', () => {
    const secret = Secret.of('planted-value')
    const holder = { secret, list: [secret] }
    const printed = [
      String(secret),
      JSON.stringify(holder),
      inspect(holder, { depth: 9, showHidden: true }),
      inspect(new Map([['name', secret]])),
      JSON.stringify(Object.entries(secret)),
      JSON.stringify(structuredClone(Object.assign({}, secret))),
    ].join('\n')
    assert.ok(!printed.includes('planted'), printed)
    assert.equal(secret.revealText(), 'planted-value')
  })

  it('equals the same bytes alone', () => {
    assert.ok(Secret.of('same').equals(Secret.of(new TextEncoder().encode('same'))))
    assert.ok(!Secret.of('same').equals(Secret.of('samf')))
    assert.ok(!Secret.of('same').equals(Secret.of('same ')))
  })
})

describe('a folder in memory', () => {
  it('takes names that are files, and no way out of the folder', () => {
    assert.equal(
      refusedFolder(
        folder([
          ['API_KEY', 'x'],
          ['tls.crt', 'x'],
          ['a-b', ''],
        ]),
      ),
      null,
    )
    for (const name of [
      '',
      '.',
      '..',
      '..data',
      '.hidden',
      'a/b',
      '../a',
      'a\0b',
      'a b',
      'ä',
      '-a',
      'a'.repeat(129),
    ])
      assert.match(refusedFolder(folder([[name, 'planted']])) ?? '', /cannot be the name/, name)
  })

  it('has limits, which it tells without values', () => {
    const many = Array.from(
      { length: MAX_PRIVATE_FILES + 1 },
      (_, n) => [`N${n}`, 'planted'] as const,
    )
    assert.match(refusedFolder(folder(many)) ?? '', /513 values/)
    const large = refusedFolder(
      folder([
        ['A', 'planted'.repeat(MAX_PRIVATE_BYTES / 7)],
        ['B', 'planted'],
      ]),
    )
    assert.match(large ?? '', /bytes together/)
    assert.ok(!large?.includes('planted'))
  })
})
