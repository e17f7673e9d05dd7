import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { refOf, specOf } from '../../test/store-suite.ts'
import type { Baker, BakeRequest, BakeResult } from '../model/build-plan.ts'
import { PausableBaker } from './pausable-baker.ts'
import { beyond, pruneCache } from './prune-cache.ts'

const REQUEST: BakeRequest = {
  ref: refOf('shop'),
  spec: specOf(refOf('shop')),
  plan: { kind: 'image', reference: 'x' },
  source: null,
  flavour: 'host',
}
const DAY = 86_400_000
const HOUR = 3_600_000
const limits = { keptMs: 30 * DAY, maxBytes: 100, graceMs: HOUR }
let cache = ''
before(async () => {
  cache = await mkdtemp(join(tmpdir(), 'fairway-cache-'))
})
after(() => rm(cache, { recursive: true, force: true }))

test('what is old goes; of the rest what was not used for longest, until it fits; nothing young', () => {
  const now = 100 * DAY
  const entry = (name: string, age: number, bytes: number) => ({ name, usedAt: now - age, bytes })
  const names = (entries: readonly { name: string }[]): readonly string[] =>
    entries.map(({ name }) => name)
  const ancient = entry('ancient', 31 * DAY, 1)
  const old = entry('old', 5 * DAY, 60)
  const newer = entry('newer', DAY, 60)
  const young = entry('young', HOUR / 2, 1000)
  assert.deepEqual(names(beyond([newer, ancient], limits, now)), ['ancient'])
  assert.deepEqual(names(beyond([newer, old], limits, now)), ['old'])
  assert.deepEqual(names(beyond([young, newer, old], limits, now)), ['old', 'newer'])
  assert.deepEqual(beyond([young], { ...limits, maxBytes: 0, keptMs: 0 }, now), [])
})

test('on disk: leftovers of killed bakes go, records and indexes stay', async () => {
  const put = async (path: string, age: number): Promise<void> => {
    const file = join(cache, path)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, 'x'.repeat(5000))
    const at = (Date.now() - age) / 1000
    await utimes(file, at, at)
    if (/^(?:tools|work)/.test(path)) await utimes(dirname(file), at, at)
  }
  await put('tools/shell-1/bin', 40 * DAY)
  await put('tools/shell-2/bin', DAY)
  await put('work/abc/app', DAY)
  await put('work/def/app', 0)
  await put('debian/packages/a.deb', 31 * DAY)
  await put('debian/indexes/i', 400 * DAY)
  await put('node-24.json', 400 * DAY)
  const freed = await pruneCache(cache, { ...limits, maxBytes: 1 << 30 }, Date.now())
  assert.ok(freed >= 15_000, String(freed))
  assert.deepEqual(await readdir(join(cache, 'tools')), ['shell-2'])
  assert.deepEqual(await readdir(join(cache, 'work')), ['def'])
  assert.deepEqual(await readdir(join(cache, 'debian/packages')), [])
  assert.deepEqual(await readdir(join(cache, 'debian/indexes')), ['i'])
  assert.ok((await readdir(cache)).includes('node-24.json'))
  assert.equal(await pruneCache(join(cache, 'missing'), limits, Date.now()), 0)
})

test('nothing is pruned while something is baked, and nothing baked while it is pruned', async () => {
  const baking = Promise.withResolvers<BakeResult>()
  let begun = 0
  const inner: Baker = {
    bake: () => {
      begun += 1
      return baking.promise
    },
  }
  const baker = new PausableBaker(inner)
  const bake = (): Promise<unknown> =>
    baker.bake(REQUEST, () => undefined, new AbortController().signal)
  const first = bake()
  assert.equal(await baker.whileIdle(() => Promise.resolve('pruned')), null)
  baking.reject(new Error('over'))
  await assert.rejects(first, /over/)
  const pruning = Promise.withResolvers<string>()
  const pruned = baker.whileIdle(() => pruning.promise)
  const second = bake()
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(begun, 1)
  pruning.resolve('pruned')
  assert.equal(await pruned, 'pruned')
  await assert.rejects(second, /over/)
  assert.equal(begun, 2)
})
