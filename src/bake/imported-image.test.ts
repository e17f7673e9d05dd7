import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { TestKitchen } from '../../test/fakes/test-kitchen.ts'
import { ImageStore } from '../oci/image-store.ts'
import type { Digest } from '../oci/digest.ts'
import { createRegistry } from '../registry/registry.ts'
import { readImageSources } from './image-sources.ts'

const LOGIN = Buffer.from('robot:secret').toString('base64')

let root: string
let server: Server
let host: string
let digest: Digest
let kitchen: TestKitchen
let requests = 0

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'fairway-imported-'))
  const images = await ImageStore.open({ root: join(root, 'remote') })
  digest = await sampleImage(images)
  await images.tag('team/app', '1.4', digest)
  const registry = createRegistry({
    images,
    randomId: () => 'unused',
    authorize: ({ headers }) => {
      requests += 1
      const known = headers.authorization === `Basic ${LOGIN}`
      return Promise.resolve(known ? 'ok' : 'unauthenticated')
    },
  })
  server = createServer((request, response) => void registry.handle(request, response))
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const address = server.address()
  host = `127.0.0.1:${String(typeof address === 'object' ? address?.port : '')}`
  const home = join(root, 'home')
  kitchen = await TestKitchen.open({
    pull: {
      ownHosts: ['127.0.0.1:7070'],
      sources: () =>
        readImageSources({
          env: { HOME: home, XDG_RUNTIME_DIR: join(root, 'run') },
          uid: 12345,
          systemFolder: join(home, 'system'),
        }),
    },
  })
})

after(async () => {
  server.closeAllConnections()
  server.close()
  await kitchen.close()
  await rm(root, { recursive: true, force: true })
})

test('without a login the registry refuses, and that is said', async () => {
  await assert.rejects(pull(`${host}/team/app:1.4`), {
    code: 'REGISTRY_FAILED',
    message: /refused access without credentials/,
  })
})

test('who logged in on this host is who pulls; logging in needs no new start', async () => {
  await home('.docker/config.json', JSON.stringify({ auths: { [host]: { auth: LOGIN } } }))
  assert.equal((await pull(`${host}/team/app:1.4`)).image.digest, digest)
  assert.match(kitchen.lines.join('\n'), /fetched from 127\.0\.0\.1/)
})

test('names without a host come from the host’s registry, dead mirrors are passed over', async () => {
  await home(
    'system/registries.conf',
    `unqualified-search-registries = ["hub.invalid"]
[[registry]]
prefix = "hub.invalid"
location = "${host}"
[[registry.mirror]]
location = "${host}/no/such/mirror"
`,
  )
  assert.equal((await pull('team/app:1.4')).image.digest, digest)
})

test('an image of our own registry is taken from the store, with no request', async () => {
  const own = await sampleImage(kitchen.images)
  await kitchen.images.tag('mine/app', '1', own)
  const before = requests
  assert.equal((await pull('127.0.0.1:7070/mine/app:1')).image.digest, own)
  assert.equal(requests, before)
  await assert.rejects(pull('127.0.0.1:7070/mine/app:2'), {
    code: 'REGISTRY_FAILED',
    message: /no 127\.0\.0\.1:7070\/mine\/app:2; it has only 1$/,
  })
})

test('where there are no containers nothing is fetched', async () => {
  const before = requests
  const plan = { kind: 'image', reference: `${host}/team/app:1.4` } as const
  await assert.rejects(kitchen.bake(plan, null, { flavour: 'host' }), {
    code: 'RUNNER_UNAVAILABLE',
  })
  assert.equal(requests, before)
})

function pull(reference: string) {
  return kitchen.bake({ kind: 'image', reference }, null)
}

async function home(name: string, text: string): Promise<void> {
  const path = join(root, 'home', name)
  await mkdir(join(path, '..'), { recursive: true })
  await writeFile(path, text)
}

async function sampleImage(images: ImageStore): Promise<Digest> {
  const layer = await images.addLayer([
    { type: 'file', path: 'app/text', mode: 0o644, content: { bytes: Buffer.from('hello') } },
  ])
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
  return images.addImage({ layers: [layer], config: { architecture, cmd: ['/app/text'] } })
}
