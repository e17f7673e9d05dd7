import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chainIds, isBlobDigest, isDigest, parseDigest, sha256 } from './digest.ts'

test('sha256 of nothing', () => {
  assert.equal(
    sha256(''),
    'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  )
})

test('only lower-case digests of the right length are digests', () => {
  const hex = 'a'.repeat(64)
  assert.ok(isDigest(`sha256:${hex}`))
  for (const bad of [
    hex,
    `sha256:${hex}a`,
    `sha256:${hex.slice(1)}`,
    `SHA256:${hex}`,
    `sha256:${hex.toUpperCase()}`,
    `sha256:../${hex}`,
    `sha512:${hex}`,
  ]) {
    assert.equal(isBlobDigest(bad), false, bad)
  }
  assert.ok(isBlobDigest(`sha512:${hex}${hex}`))
  assert.throws(() => parseDigest('sha256:x', 'config'), {
    code: 'INVALID_IMAGE',
    message: /config/,
  })
})

test('chain ids: the first is the diff id, the others hash what lies below', () => {
  const [a, b] = [sha256('a'), sha256('b')]
  assert.deepEqual(chainIds([a, b]), [a, sha256(`${a} ${b}`)])
  assert.deepEqual(chainIds([]), [])
})
