import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { silentLog } from '../lib/log.ts'
import {
  hostSources,
  parseSources,
  parseSourcesFile,
  parseSourcesList,
  sourcesText,
} from './apt-sources.ts'

test('deb822: every address with every suite', () => {
  const text = [
    '# comment',
    'Types: deb deb-src',
    'URIs: http://one.example/debian/',
    'Suites: bookworm bookworm-updates',
    'Components: main contrib',
    'Architectures: amd64',
    'Signed-By: /usr/share/keyrings/a.gpg',
    '',
    'Types: deb',
    'Enabled: no',
    'URIs: http://off.example',
    'Suites: x',
    '',
    'Types: deb-src',
    'URIs: http://source.example',
    'Suites: x',
  ].join('\n')
  const fields = {
    uri: 'http://one.example/debian',
    components: ['main', 'contrib'],
    architectures: ['amd64'],
    signedBy: [{ file: '/usr/share/keyrings/a.gpg' }],
    origin: 'f',
  }
  assert.deepEqual(parseSourcesFile(text, 'f'), [
    { ...fields, suite: 'bookworm' },
    { ...fields, suite: 'bookworm-updates' },
  ])
})

test('deb822: a key in place', () => {
  const text = [
    'Types: deb',
    'URIs: http://a.example',
    'Suites: ./',
    'Check-Valid-Until: no',
    'Signed-By:',
    ' -----BEGIN PGP PUBLIC KEY BLOCK-----',
    ' .',
    ' abc',
    ' -----END PGP PUBLIC KEY BLOCK-----',
  ].join('\n')
  const [source] = parseSourcesFile(text, 'f')
  assert.equal(source?.checkValidUntil, false)
  assert.deepEqual(source.signedBy, [
    {
      armored: '-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----',
    },
  ])
})

test('one-line form', () => {
  const text = [
    'deb [arch=amd64,arm64 signed-by=/k.gpg check-valid-until=no] http://a.example/x stable main # why',
    'deb-src http://a.example/x stable main',
    '  ',
    'deb http://b.example ./',
  ].join('\n')
  assert.deepEqual(parseSourcesList(text, 'f'), [
    {
      uri: 'http://a.example/x',
      suite: 'stable',
      components: ['main'],
      architectures: ['amd64', 'arm64'],
      signedBy: [{ file: '/k.gpg' }],
      checkValidUntil: false,
      origin: 'f:1',
    },
    { uri: 'http://b.example', suite: './', components: [], origin: 'f:4' },
  ])
  assert.throws(() => parseSourcesList('rpm http://a.example x', 'f'), /f:1.*rpm/)
})

test('a folder of sources: in order, broken and disabled files passed over and logged', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'apt-'))
  try {
    await mkdir(join(folder, 'sources.list.d'))
    await writeFile(join(folder, 'sources.list'), 'deb http://one.example s main\n')
    const inFolder = {
      'b.list': 'deb http://three.example s main\n',
      'a.sources': 'Types: deb\nURIs: http://two.example\nSuites: s\nComponents: main\n',
      'c.sources': 'this is nothing\n',
      'd.list.disabled': 'deb http://off.example s main\n',
    }
    for (const [name, text] of Object.entries(inFolder)) {
      await writeFile(join(folder, 'sources.list.d', name), text)
    }
    const warned: unknown[] = []
    const log = {
      ...silentLog,
      warn: (fields: { readonly file?: unknown }) => warned.push(fields.file),
    }
    const found = await hostSources(folder, log)
    assert.deepEqual(
      found.map(({ uri }) => uri),
      ['http://one.example', 'http://two.example', 'http://three.example'],
    )
    assert.deepEqual(warned, [join(folder, 'sources.list.d', 'c.sources')])
    assert.deepEqual(await hostSources(join(folder, 'none'), silentLog), [])
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('what is written reads as the same sources', () => {
  const word = fc.stringMatching(/^[a-z][a-z0-9.-]{0,12}$/)
  const key = fc.oneof(
    word.map((name) => ({ file: `/usr/share/keyrings/${name}.asc` })),
    fc.constant({
      armored:
        '-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc=\n\nd\n-----END PGP PUBLIC KEY BLOCK-----',
    }),
  )
  const source = fc.record(
    {
      uri: word.map((name) => `https://${name}.example/debian`),
      suite: fc.oneof(word, fc.constant('./')),
      components: fc.array(word, { maxLength: 3 }),
      architectures: fc.array(word, { minLength: 1, maxLength: 2 }),
      // Keys in place and keyrings do not stand in one field (sources.list(5)).
      signedBy: key.map((one) => [one]),
      checkValidUntil: fc.constant(false),
    },
    { requiredKeys: ['uri', 'suite', 'components'] },
  )
  fc.assert(
    fc.property(fc.array(source, { maxLength: 4 }), (sources) => {
      const read = parseSources(sourcesText(sources), 'f')
      assert.deepEqual(
        read,
        sources.map((one) => ({ ...one, origin: 'f' })),
      )
    }),
  )
})

test('either form is known by its first line that says something', () => {
  const list = '# mine\n\n  deb http://a.example/debian bookworm main\n'
  assert.equal(parseSources(list, 'f')[0]?.suite, 'bookworm')
  const stanza = '# mine\nTypes: deb\nURIs: http://a.example\nSuites: trixie\n'
  assert.equal(parseSources(stanza, 'f')[0]?.suite, 'trixie')
})
