import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatDependency, parseDependencies } from './dependency.ts'

test('reads groups, alternatives, qualifiers and versions', () => {
  assert.deepEqual(
    parseDependencies('python3:any (>= 3.9~), debconf (>= 0.5) | debconf-2.0,libc6(=2.36-9), x'),
    [
      [{ name: 'python3', qualifier: 'any', version: { relation: '>=', version: '3.9~' } }],
      [{ name: 'debconf', version: { relation: '>=', version: '0.5' } }, { name: 'debconf-2.0' }],
      [{ name: 'libc6', version: { relation: '=', version: '2.36-9' } }],
      [{ name: 'x' }],
    ],
  )
  assert.deepEqual(parseDependencies(' '), [])
  assert.deepEqual(parseDependencies('a (< 2)')[0]?.[0]?.version?.relation, '<=')
})

test('refuses what is none', () => {
  for (const text of ['a b', 'a (>=)', '| a', 'a (>= 1) (<< 2)', '../etc', 'a (~ 1)']) {
    assert.throws(() => parseDependencies(text), SyntaxError, text)
  }
})

test('what is written is read back', () => {
  const name = fc.stringMatching(/^[a-z0-9][a-z0-9+.-]{1,10}$/)
  const relation = fc.constantFrom('<<', '<=', '=', '>=', '>>')
  const number = fc.stringMatching(/^[0-9][0-9a-z.+~-]{0,8}$/)
  const version = fc.record({ relation, version: number }, { noNullPrototype: true })
  const dependency = fc.record(
    { name, qualifier: fc.constantFrom('any', 'amd64'), version },
    { requiredKeys: ['name'], noNullPrototype: true },
  )
  fc.assert(
    fc.property(fc.array(fc.array(dependency, { minLength: 1 })), (groups) => {
      const text = groups.map((group) => group.map(formatDependency).join(' | ')).join(', ')
      assert.deepEqual(parseDependencies(text), groups)
    }),
  )
})

test('hostile fields end in SyntaxError, quickly', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 2000 }), (text) => {
      try {
        parseDependencies(text)
      } catch (error) {
        assert.ok(error instanceof SyntaxError)
      }
    }),
  )
  assert.throws(() => parseDependencies(`a${' '.repeat(50_000)}b`), SyntaxError)
  assert.throws(() => parseDependencies(`a (>= ${' '.repeat(50_000)}`), SyntaxError)
})
