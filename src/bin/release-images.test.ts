import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { systemClock } from '../lib/clock.ts'
import { parseAppName, parseEnvironmentName, type AppRef } from '../model/names.ts'
import type { Digest } from '../model/release.ts'
import { ImageStore } from '../oci/image-store.ts'
import { releaseImages } from './release-images.ts'

const root = await mkdtemp(join(tmpdir(), 'fairway-release-images-'))
after(() => rm(root, { recursive: true, force: true }))
const images = await ImageStore.open({ root })
const names = releaseImages({
  images,
  store: {
    getTarget: () => Promise.resolve(null),
    listAllReleases: () => Promise.resolve([]),
  },
  clock: systemClock,
  root,
})
const ref: AppRef = {
  app: parseAppName('shop'),
  environment: parseEnvironmentName('production'),
}
const none: ReadonlySet<Digest> = new Set()

test('the image of a release is found by its number and, while it is the newest, as latest', async () => {
  const [first, second] = [await image('one'), await image('two')]
  await publish(1, first)
  await publish(2, second)
  await publish(2, second)
  assert.deepEqual(await images.repositories.tags('shop/production'), ['1', '2', 'latest'])
  assert.equal(await images.resolve('shop/production', '1'), first)
  assert.equal(await images.resolve('shop/production', 'latest'), second)
})

test('a name keeps its image from garbage collection, and goes with its release', async () => {
  const digest = await image('kept')
  await publish(3, digest)
  await later()
  await names.collect(none, 0)
  assert.notEqual(await images.image(digest), null)
  await publish(4, await image('newer'))
  await names.withdraw(ref, 3)
  await later()
  await names.collect(none, 0)
  assert.equal(await images.image(digest), null)
  assert.equal(await images.resolve('shop/production', '3'), null)
  assert.notEqual(await images.resolve('shop/production', '4'), null)
})

test('with an app go the names of its releases, not what people pushed beside them', async () => {
  const digest = await image('pushed')
  await publish(5, digest)
  await images.tag('shop/production', 'v1.0', digest)
  await names.withdraw(ref, null)
  assert.deepEqual(await images.repositories.tags('shop/production'), ['v1.0'])
  await names.withdraw({ ...ref, app: parseAppName('unknown') }, null)
})

async function image(text: string): Promise<Digest> {
  const layer = await images.addLayer([
    { type: 'file', path: 'app/text', mode: 0o644, content: { bytes: Buffer.from(text) } },
  ])
  return images.addImage({ layers: [layer], config: { cmd: ['/app/text'] } })
}

async function publish(number: number, digest: Digest): Promise<void> {
  const facts = { flavour: 'image', command: [], env: {}, workingDir: '/', user: '' } as const
  await names.publish({ ref, number, image: { ...facts, digest, port: null, sizeBytes: 1 } })
}

/** Files are as old as their time stamp says: the next millisecond makes them old enough to go. */
async function later(): Promise<void> {
  const now = systemClock.now()
  while (systemClock.now() - now < 5) await new Promise((resolve) => setImmediate(resolve))
}
