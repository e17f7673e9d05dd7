import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ClusterRegistry, COLLECTION } from '../../src/bin/cluster-registry.ts'
import { pushImage, releaseImages } from '../../src/bin/release-images.ts'
import { stepImages } from '../../src/bin/step-images.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { minimalEnv, start } from '../../src/lib/process.ts'
import { parseAppName, parseEnvironmentName, parseTargetName } from '../../src/model/names.ts'
import type { ReleaseImages } from '../../src/model/build-plan.ts'
import type { Digest, Release } from '../../src/model/release.ts'
import type { TargetRegistry } from '../../src/model/targets.ts'
import { ImageStore } from '../../src/oci/image-store.ts'
import { releaseOf } from '../store-suite.ts'
import { freePorts } from './private-platform.ts'

/** The registry that `install` puts into a cluster, as a process here, and the images of a server that pushes to it. */
const PASSWORD = 'a password that pushes'
const PULL_PASSWORD = 'a password that pulls'
const target = parseTargetName('prod')
const shop = { app: parseAppName('shop'), environment: parseEnvironmentName('production') }

let root = ''
let registry: TargetRegistry & { readonly endpoint: string }
let program: Awaited<ReturnType<typeof start>>
let images: ImageStore
let server: ReleaseImages
let far: ClusterRegistry
let releases: Release[] = []

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'fairway-cluster-registry-'))
  const [port = 0] = await freePorts(1)
  registry = {
    ...{ name: '127.0.0.1:30500', endpoint: `http://127.0.0.1:${String(port)}`, push: true },
    ...{ user: 'fairway', password: PASSWORD },
  }
  program = await start(
    process.execPath,
    [resolve(import.meta.dirname, '../../src/bin/registry.ts')],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        ...minimalEnv(),
        FAIRWAY_API_HOST: '127.0.0.1',
        FAIRWAY_API_PORT: String(port),
        FAIRWAY_DATA_DIR: join(root, 'registry'),
        FAIRWAY_REGISTRY_PASSWORD: PASSWORD,
        FAIRWAY_REGISTRY_PULL_PASSWORD: PULL_PASSWORD,
      },
    },
  )
  while ((await answerTo('/v2/', 'GET', PASSWORD)) !== 200) await sleep(50)
  images = await ImageStore.open({ root: join(root, 'server') })
  const { endpoint } = registry
  far = new ClusterRegistry({ registry, endpoint, fetch })
  server = releaseImages({
    images,
    store: {
      getTarget: () =>
        Promise.resolve({
          ...{ name: target, kubeconfig: '', context: null, createdAt: 1 },
          settings: {
            ...{ registry: registry.name, registryPush: 'true', registryEndpoint: endpoint },
            ...{ registryUser: 'fairway', registryPassword: PASSWORD },
          },
        }),
      listAllReleases: () => Promise.resolve(releases),
    },
    clock: systemClock,
    root,
    home: { target, registry: far },
  })
})
after(async () => {
  program.kill()
  await rm(root, { recursive: true, force: true })
})

test('images of releases stay, those of removed ones and of old steps go', async () => {
  const [first, second] = [await release(1), await release(2)]
  releases = [first, second]
  await server.deliver(first)
  await server.deliver(second)
  await server.deliver(second)
  assert.deepEqual([...(await far.tagged(shop))].sort(), [1, 2])
  assert.ok((await collected()) === 0)
  assert.deepEqual(await kept(first, second), [true, true])
  releases = [second]
  await server.withdraw(shop, 1)
  assert.ok((await collected()) > 0)
  assert.deepEqual(await kept(first, second), [false, true])
})

test('an image that two releases have goes with the second', async () => {
  const third = await release(3)
  const fourth = { ...third, number: 4 }
  for (const each of [third, fourth]) await server.deliver(each)
  releases = [fourth]
  await server.withdraw(shop, 3)
  await collected()
  assert.deepEqual(await kept(fourth), [true])
  releases = []
  await server.withdraw(shop, null)
  await collected()
  assert.deepEqual(await kept(fourth), [false])
})

test('what a server before this one pushed without a name gets one; what no server knows any more stays once it has', async () => {
  const old = await release(5)
  await pushImage(images, old.image.digest, `${registry.name}/shop/production`, registry)
  releases = [old]
  await collected()
  assert.deepEqual(await kept(old), [true])
  releases = []
  await collected()
  assert.deepEqual(await kept(old), [true])
})

test('a release whose image is lost is no reason not to collect', async () => {
  const lost = await release(6)
  releases = [lost]
  assert.equal(typeof (await collected()), 'number')
  assert.deepEqual(await kept(lost), [false])
})

test('the image of a build step is sent again after it was removed', async () => {
  const layer = await images.addLayer([
    { type: 'file', path: 'tool', mode: 0o755, content: { bytes: Buffer.from('a tool') } },
  ])
  const digest = await images.addImage({ layers: [layer], config: {} })
  const lowerDirs = await images.lowerDirs(digest)
  const send = stepImages(images, registry)
  const [name, again] = await Promise.all([send(lowerDirs), send(lowerDirs)])
  assert.equal(name, again)
  assert.ok(await isThere(name))
  await sleep(10)
  assert.ok((await far.collect(0)) > 0)
  assert.ok(!(await isThere(name)))
  assert.equal(await send(lowerDirs), name)
  assert.ok(await isThere(name))
})

test('only who may push may order a collection, by POST and with an age', async () => {
  const order = `${COLLECTION}?olderThanMs=0`
  assert.equal(await answerTo(order, 'POST', PULL_PASSWORD), 403)
  assert.equal(await answerTo(order, 'POST', 'nonsense'), 401)
  assert.equal(await answerTo(order, 'GET', PASSWORD), 405)
  for (const age of ['', '-1', '1e3', '9'.repeat(13)])
    assert.equal(await answerTo(`${COLLECTION}?olderThanMs=${age}`, 'POST', PASSWORD), 400, age)
  assert.equal(await answerTo(COLLECTION, 'POST', PASSWORD), 404)
  assert.equal(await answerTo('/v2/shop/production/manifests/1', 'DELETE', PULL_PASSWORD), 403)
})

test('a registry that is away is said so, and nothing of the server is lost by it', async () => {
  const here = await release(7)
  const endpoint = `http://127.0.0.1:${String((await freePorts(1))[0])}`
  const away = new ClusterRegistry({ registry, endpoint, fetch })
  await assert.rejects(away.collect(0), {
    code: 'REGISTRY_FAILED',
    message: /^the registry of this cluster: /,
  })
  await assert.rejects(away.tag(shop, 7, here.image.digest), { code: 'REGISTRY_FAILED' })
})

/** A release of an image that no other has. */
async function release(number: number): Promise<Release> {
  const bytes = Buffer.from(`content of ${String(number)}`)
  const layer = await images.addLayer([
    { type: 'file', path: 'app/text', mode: 0o644, content: { bytes } },
  ])
  const digest = await images.addImage({ layers: [layer], config: { cmd: ['/app/text'] } })
  const made = releaseOf(shop)
  return {
    ...{ ...made, number, image: { ...made.image, digest } },
    spec: { ...made.spec, target },
  }
}

/** Everything that may go is old enough: files are as old as their time stamp says. @returns freed bytes, those in the server's own store among them */
async function collected(): Promise<number> {
  const all = new Set(releases.map(({ image }) => image.digest))
  await sleep(10)
  return (await server.collect(all, 0)).bytes
}

async function kept(...wanted: readonly Release[]): Promise<readonly boolean[]> {
  const name = (digest: Digest): string => `${registry.name}/shop/production@${digest}`
  return Promise.all(wanted.map(({ image }) => isThere(name(image.digest))))
}

/** With the password that nodes have: manifest, config and every layer. */
async function isThere(reference: string): Promise<boolean> {
  const [repository = '', digest = ''] = reference.replace(/^[^/]*\//, '').split('@')
  const manifest = await asked(`/v2/${repository}/manifests/${digest}`, 'GET', PULL_PASSWORD)
  if (manifest.status !== 200) return false
  const blobs = (await manifest.text()).matchAll(/"digest":"(sha256:[0-9a-f]{64})"/g)
  for (const [, blob = ''] of blobs)
    assert.equal(await answerTo(`/v2/${repository}/blobs/${blob}`, 'HEAD', PULL_PASSWORD), 200)
  return true
}

async function answerTo(path: string, method: string, password: string): Promise<number> {
  try {
    const response = await asked(path, method, password)
    await response.body?.cancel()
    return response.status
  } catch {
    return 0
  }
}

function asked(path: string, method: string, password: string): Promise<Response> {
  const authorization = `Basic ${Buffer.from(`x:${password}`).toString('base64')}`
  return fetch(new URL(path, registry.endpoint), { method, headers: { authorization } })
}
