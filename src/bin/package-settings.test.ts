import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { parseSourcesFile } from '../debian/apt-sources.ts'
import { silentLog } from '../lib/log.ts'
import { packageSettings, type GivenPackages, type PackageHost } from './package-settings.ts'

const NOTHING: GivenPackages = { npmRegistry: null, pipIndex: null, aptSources: null }
const KEY = '-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc=\n-----END PGP PUBLIC KEY BLOCK-----'
let root = ''
let host: PackageHost = { env: {}, log: silentLog }

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'fairway-packages-'))
  await mkdir(join(root, 'etc/apt/sources.list.d'), { recursive: true })
  await mkdir(join(root, 'usr/share/keyrings'), { recursive: true })
  host = { env: { PATH: root, HOME: root }, root: `${root}/`, log: silentLog }
})
after(() => rm(root, { recursive: true }))

async function hostHas(sources: string): Promise<void> {
  await writeFile(join(root, 'etc/apt/sources.list.d/a.sources'), sources)
}

function stanza(uri: string, signedBy: string): string {
  return `Types: deb\nURIs: ${uri}\nSuites: bookworm\nComponents: main\n${signedBy}\n`
}

const inPlace = `Signed-By:\n${KEY.split('\n')
  .map((line) => ` ${line === '' ? '.' : line}`)
  .join('\n')}\n`

test('the host’s own apt sources come along with their keys, each once', async () => {
  const keyring = join(root, 'usr/share/keyrings/own.asc')
  await writeFile(keyring, KEY)
  const [one, other] = ['https://one.example/debian', 'http://other.example']
  await hostHas([stanza(one, `Signed-By: ${keyring}\n`), stanza(other, inPlace)].join('\n'))
  const { apt } = await packageSettings(NOTHING, host)
  assert.deepEqual(Object.keys(apt).sort(), ['fairway.sources', 'keyring-1.asc'])
  assert.equal(apt['keyring-1.asc'], KEY)
  const told = parseSourcesFile(apt['fairway.sources'] ?? '', 'f')
  const signedBy = [{ file: '/etc/apt/sources.list.d/keyring-1.asc' }]
  assert.deepEqual(
    told.map((source) => [source.uri, source.signedBy]),
    [
      [one, signedBy],
      [other, signedBy],
    ],
  )
})

test('what only this host reaches, is let in to or has the keys of stays here', async () => {
  const sources = [
    stanza('http://127.0.0.1:8080/debian', inPlace),
    stanza('http://localhost/debian', inPlace),
    stanza('file:/srv/debian', inPlace),
    stanza('https://me:hunter2@mirror.example', inPlace),
    stanza('https://unsigned.example', ''),
  ]
  await hostHas(sources.join('\n'))
  assert.deepEqual(await packageSettings(NOTHING, host), { env: {}, apt: {} })
})

test('given sources replace them, in either form', async () => {
  await hostHas(stanza('https://one.example/debian', inPlace))
  const given = stanza('https://given.example', inPlace)
  const { apt } = await packageSettings({ ...NOTHING, aptSources: given }, host)
  assert.match(apt['fairway.sources'] ?? '', /given\.example/)
  assert.doesNotMatch(apt['fairway.sources'] ?? '', /one\.example/)
  await writeFile(join(root, 'usr/share/keyrings/debian-archive-keyring.gpg'), KEY)
  const list = 'deb http://list.example/debian trixie main\n'
  const plain = await packageSettings({ ...NOTHING, aptSources: list }, host)
  assert.match(plain.apt['fairway.sources'] ?? '', /Suites: trixie/)
  assert.equal(plain.apt['keyring-1.asc'], KEY)
})

test('given sources that the cluster could not use are refused by name, without a login', async () => {
  for (const [given, message] of [
    ['', /no apt source/],
    ['nonsense', /line 1/],
    ['deb nonsense', /no apt source: deb nonsense/],
    [stanza('http://127.0.0.1/debian', inPlace), /127\.0\.0\.1/],
    [stanza('https://me:hunter2@a.example', inPlace), /https:\/\/a\.example/],
    [stanza('https://a.example', 'Signed-By: /etc/shadow\n'), /\/etc\/shadow/],
    [stanza('https://a.example', 'Signed-By: /usr/share/keyrings/../../../x\n'), /\.\./],
  ] as const)
    await assert.rejects(packageSettings({ ...NOTHING, aptSources: given }, host), (error) => {
      assert.match(String(error), message)
      assert.doesNotMatch(String(error), /hunter2/)
      return true
    })
})

test('npm and pip: what was given, and pip is told to trust a host without TLS', async () => {
  await hostHas('')
  const npmRegistry = 'https://npm.example/'
  const given = { ...NOTHING, npmRegistry, pipIndex: 'http://pypi.example:3141/simple/' }
  const { env } = await packageSettings(given, host)
  assert.deepEqual(env, {
    npm_config_registry: npmRegistry,
    PIP_INDEX_URL: 'http://pypi.example:3141/simple/',
    PIP_TRUSTED_HOST: 'pypi.example:3141',
  })
  const secure = { ...NOTHING, pipIndex: 'https://pypi.example/simple/' }
  assert.deepEqual((await packageSettings(secure, host)).env, { PIP_INDEX_URL: secure.pipIndex })
})
