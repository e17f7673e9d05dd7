import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { formatReference } from '../oci/reference.ts'
import { readImageSources, type ImageSources } from './image-sources.ts'

const root = await mkdtemp(join(tmpdir(), 'fairway-image-sources-'))
after(() => rm(root, { recursive: true, force: true }))
let hosts = 0

interface Host {
  readonly sources: () => Promise<ImageSources>
  readonly home: string
}

/** A host of its own: files below `system` stand for /etc/containers, others for the home folder. */
async function host(
  files: Readonly<Record<string, string>>,
  env: Readonly<Record<string, string>> = {},
): Promise<Host> {
  const home = join(root, String(hosts++))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(home, name)), { recursive: true })
    await writeFile(join(home, name), text)
  }
  const options = {
    env: { HOME: home, XDG_RUNTIME_DIR: join(home, 'run'), ...env },
    uid: 12345,
    systemFolder: join(home, 'system'),
  }
  return { sources: () => readImageSources(options), home }
}

async function places(files: Readonly<Record<string, string>>, text: string): Promise<string[]> {
  const sources = await (await host(files)).sources()
  return sources.places(text).map(formatReference)
}

async function login(files: Readonly<Record<string, string>>, text: string) {
  const sources = await (await host(files)).sources()
  const [place] = sources.places(text)
  assert.ok(place)
  return sources.login(place)
}

const auth = (user: string, password: string): string =>
  Buffer.from(`${user}:${password}`).toString('base64')

test('a host without configuration: full names go where they say, others are refused', async () => {
  assert.deepEqual(await places({}, 'registry.example/team/app:1'), ['registry.example/team/app:1'])
  await assert.rejects(places({}, 'app:1'), /names no registry/)
})

test('names without a host come from the first search registry, aliases first', async () => {
  const files = {
    'system/registries.conf': `# a comment
unqualified-search-registries = [
  "one.example",  # the first
  'two.example'
]
short-name-mode = "permissive"
`,
    'system/registries.conf.d/shortnames.conf': `[aliases]\n  # a "comment"\n  "tool" = "hub.example/library/tool"\n`,
  }
  assert.deepEqual(await places(files, 'team/app:1'), ['one.example/team/app:1'])
  assert.deepEqual(await places(files, 'tool:3'), ['hub.example/library/tool:3'])
  assert.deepEqual(await places(files, 'three.example/tool'), ['three.example/tool:latest'])
})

test('version 1 of the format, and the user’s own file before the system’s', async () => {
  const old = '[registries.search]\nregistries = ["old.example"]\n'
  assert.deepEqual(await places({ 'system/registries.conf': old }, 'app'), [
    'old.example/app:latest',
  ])
  const both = {
    'system/registries.conf': old,
    '.config/containers/registries.conf': 'unqualified-search-registries = ["mine.example"]',
  }
  assert.deepEqual(await places(both, 'app'), ['mine.example/app:latest'])
})

test('mirrors come first, a location takes the place of its prefix, the longest prefix counts', async () => {
  const conf = {
    'system/registries.conf': `
[[registry]]
prefix = "hub.example"
location = "api.hub.example"

[[registry.mirror]]
location = "localhost:5000/hub"
insecure = true

[[registry]]
prefix = "hub.example/team"
location = "team.example/images"

[[registry]]
prefix = "*.internal.example"
location = "registry.internal.example:5443"

[[registry]]
location = "bad.example"
blocked = true
`,
  }
  assert.deepEqual(await places(conf, 'hub.example/library/tool:3'), [
    'localhost:5000/hub/library/tool:3',
    'api.hub.example/library/tool:3',
  ])
  assert.deepEqual(await places(conf, 'hub.example/team/app:1'), ['team.example/images/app:1'])
  assert.deepEqual(await places(conf, 'hub.example/teams/app:1'), [
    'localhost:5000/hub/teams/app:1',
    'api.hub.example/teams/app:1',
  ])
  assert.deepEqual(await places(conf, 'a.internal.example/x:1'), [
    'registry.internal.example:5443/x:1',
  ])
  await assert.rejects(places(conf, 'bad.example/app'), /blocks bad\.example/)
})

test('what is not understood is named with file and line', async () => {
  const conf = { 'system/registries.conf': 'unqualified-search-registries = []\n\nwhat is this' }
  await assert.rejects(places(conf, 'app'), /registries\.conf:3 is not understood: what is this/)
})

test('logins: the longest key that fits, for no other host', async () => {
  const files = {
    '.config/containers/auth.json': JSON.stringify({
      auths: {
        'registry.example': { auth: auth('all', 'p:w') },
        'registry.example/team': { auth: auth('team', 'secret') },
        'https://old.example/v1/': { auth: auth('old', 'style') },
      },
    }),
    '.docker/config.json': JSON.stringify({
      auths: { 'docker.example:5000': { auth: auth('d', 'pw') }, 'empty.example': {} },
    }),
  }
  assert.deepEqual(await login(files, 'registry.example/other/app'), {
    username: 'all',
    password: 'p:w',
  })
  assert.deepEqual(await login(files, 'registry.example/team/app'), {
    username: 'team',
    password: 'secret',
  })
  assert.deepEqual(await login(files, 'old.example/app'), { username: 'old', password: 'style' })
  assert.deepEqual(await login(files, 'docker.example:5000/app'), {
    username: 'd',
    password: 'pw',
  })
  assert.equal(await login(files, 'docker.example/app'), null)
  assert.equal(await login(files, 'registry.example.evil/team/app'), null)
  assert.equal(await login(files, 'empty.example/app'), null)
})

test('a file of logins that is damaged is named', async () => {
  const files = { '.docker/config.json': '{"auths": []}' }
  await assert.rejects(login(files, 'registry.example/app'), /config\.json is no file of registry/)
})

test('credential helpers are asked, as docker does', async () => {
  const helper = `#!/bin/sh
read -r host
[ "$1 $host" = "get kept.example" ] || { echo credentials not found; exit 1; }
echo '{"ServerURL":"kept.example","Username":"keeper","Secret":"s3cret"}'
`
  const files = {
    'bin/docker-credential-test': helper,
    '.docker/config.json': JSON.stringify({ credsStore: 'test' }),
  }
  const made = await host(files, { PATH: `${join(root, String(hosts))}/bin:/usr/bin:/bin` })
  await chmod(join(made.home, 'bin/docker-credential-test'), 0o755)
  const sources = await made.sources()
  const ask = (text: string) => {
    const [place] = sources.places(text)
    assert.ok(place)
    return sources.login(place)
  }
  assert.deepEqual(await ask('kept.example/app'), { username: 'keeper', password: 's3cret' })
  assert.equal(await ask('other.example/app'), null)
})
