import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { isName, parseAppName, parseEnvironmentName, parseProcessName } from '../model/names.ts'
import { parseSpiffeId, spiffeIdText, workloadId } from './spiffe-id.ts'

const LOWER = Array.from('abcxyz0189._-')
const SEGMENT_CHARACTERS = Array.from('abcxyzABCXYZ0189._-')
const trustDomain = fc
  .array(fc.constantFrom(...LOWER), { minLength: 1, maxLength: 60 })
  .map((characters) => characters.join(''))
const segment = fc
  .array(fc.constantFrom(...SEGMENT_CHARACTERS), { minLength: 1, maxLength: 20 })
  .map((characters) => characters.join(''))
  .filter((text) => text !== '.' && text !== '..')
const path = fc
  .array(segment, { maxLength: 6 })
  .map((segments) => segments.map((each) => `/${each}`).join(''))
const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}[a-z0-9]$/).filter(isName)

describe('SPIFFE IDs', () => {
  test('what is written is read', () => {
    fc.assert(
      fc.property(trustDomain, path, (domain, rest) => {
        const id = { trustDomain: domain, path: rest }
        assert.deepEqual(parseSpiffeId(spiffeIdText(id)), id)
      }),
    )
  })

  test('what is read is written as it was, whatever the text', () => {
    const near = fc
      .tuple(fc.constantFrom('spiffe://', 'spiffe:/', 'SPIFFE://', ''), fc.string())
      .map(([scheme, rest]) => scheme + rest)
    fc.assert(
      fc.property(fc.oneof(near, fc.webUrl()), (text) => {
        const id = parseSpiffeId(text)
        if (id !== null) assert.equal(spiffeIdText(id), text)
      }),
    )
  })

  test('one forbidden character anywhere is refused', () => {
    const forbidden = fc.constantFrom(...Array.from('%?#@:[]!$&\'()*+,;= \t\n\0é~"<>\\^`{|}'))
    fc.assert(
      fc.property(trustDomain, path, forbidden, fc.nat(), (domain, rest, character, at) => {
        const body = domain + rest
        const place = at % (body.length + 1)
        const text = `spiffe://${body.slice(0, place)}${character}${body.slice(place)}`
        assert.equal(parseSpiffeId(text), null)
      }),
    )
  })

  for (const text of [
    '',
    'spiffe://',
    'spiffe:///web',
    'spiffe://Example.org',
    'spiffe://example.org/',
    'spiffe://example.org/web/',
    'spiffe://example.org//web',
    'spiffe://example.org/./web',
    'spiffe://example.org/a/..',
    'spiffe://example.org/a%2fb',
    'spiffe://example.org:443/web',
    'spiffe://user@example.org/web',
    'spiffe://example.org/web?a=b',
    'spiffe://example.org/web#a',
    'https://example.org/web',
    `spiffe://${'a'.repeat(256)}/web`,
    `spiffe://example.org/${'a'.repeat(2048)}`,
  ]) {
    test(`refuses ${text.slice(0, 60)}`, () => {
      assert.equal(parseSpiffeId(text), null)
    })
  }

  test('every app has one, and different processes have different ones', () => {
    fc.assert(
      fc.property(name, name, name, name, (environment, app, process, other) => {
        const ref = { app: parseAppName(app), environment: parseEnvironmentName(environment) }
        const id = workloadId('example.org', ref, parseProcessName(process))
        const text = spiffeIdText(id)
        assert.deepEqual(parseSpiffeId(text), id)
        assert.equal(text, `spiffe://example.org/${environment}/${app}/${process}`)
        const second = spiffeIdText(workloadId('example.org', ref, parseProcessName(other)))
        assert.equal(second === text, process === other)
      }),
    )
  })
})
