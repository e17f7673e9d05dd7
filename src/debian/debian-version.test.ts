import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ProgramError, runToEnd } from '../lib/process.ts'
import { compareVersions, versionSatisfies } from './debian-version.ts'

const part = (...more: readonly string[]) =>
  fc.string({
    unit: fc.constantFrom('0', '0', '1', '9', 'a', 'A', 'z', 'Z', '.', '+', '~', ...more),
    maxLength: 6,
  })
const version = fc
  .tuple(
    fc.option(fc.nat({ max: 12 }), { nil: undefined }),
    fc.nat({ max: 30 }),
    part('-'),
    fc.option(part(), { nil: undefined }),
  )
  .map(([epoch, digits, upstream, revision]) => {
    const tail = revision === undefined || revision === '' ? '' : `-${revision}`
    return `${epoch === undefined ? '' : `${epoch}:`}${digits}${upstream}${tail}`
  })
  .filter((text) => !text.endsWith('-'))

const hasDpkg = await runToEnd('dpkg', ['--version']).then(
  () => true,
  (error: unknown) => {
    if (error instanceof ProgramError) return false
    throw error
  },
)

test('orders as dpkg does', { skip: hasDpkg ? false : 'needs dpkg' }, async () => {
  const property = fc.asyncProperty(version, version, async (a, b) => {
    const order = Math.sign(compareVersions(a, b))
    const relation = order < 0 ? 'lt' : order > 0 ? 'gt' : 'eq'
    const { code, stderr } = await runToEnd('dpkg', ['--compare-versions', a, relation, b])
    assert.equal(code, 0, `dpkg does not hold ${a} ${relation} ${b} ${stderr}`)
  })
  await fc.assert(property, { numRuns: 400 })
})

test('is a total order', () => {
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      assert.equal(compareVersions(a, a), 0)
      assert.equal(Math.sign(compareVersions(a, b)), -Math.sign(compareVersions(b, a)) + 0)
      if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0) {
        assert.ok(compareVersions(a, c) <= 0)
      }
    }),
  )
})

test('known hard cases', () => {
  const ascending = [
    '1.0~rc1',
    '1.0',
    '1.0-0.1',
    '1.0-1',
    '1.0-1+b1',
    '1.0-1+deb12u1',
    '1.0a',
    '1:0.1',
  ]
  assert.deepEqual([...ascending].reverse().sort(compareVersions), ascending)
  assert.equal(compareVersions('1.0', '1.0-0'), 0)
  assert.equal(compareVersions('0:1.00', '1.0'), 0)
  assert.ok(compareVersions('1'.repeat(400), '2'.repeat(399)) > 0)
})

test('relations', () => {
  assert.ok(versionSatisfies('1.2', '>=', '1.2'))
  assert.ok(versionSatisfies('1.2', '<=', '1.2'))
  assert.ok(!versionSatisfies('1.2', '>>', '1.2'))
  assert.ok(!versionSatisfies('1.2', '<<', '1.2'))
  assert.ok(versionSatisfies('1.2', '=', '1.2-0'))
})
