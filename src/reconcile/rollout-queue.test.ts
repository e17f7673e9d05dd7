import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { FakeEngine } from '../../test/fakes/fake-engine.ts'
import { noSecrets } from '../../test/fakes/no-secrets.ts'
import { MemorySourceStore } from '../../test/fakes/memory-source-store.ts'
import { until } from '../../test/fakes/until.ts'
import { refOf, releaseOf, specOf } from '../../test/store-suite.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import type { AppSpec } from '../model/app-spec.ts'
import { FairwayError } from '../model/errors.ts'
import { parseProcessName, parseTargetName } from '../model/names.ts'
import type { Actor } from '../model/platform.ts'
import type { Rollout } from '../model/release.ts'
import type { Store } from '../model/store.ts'
import { MemoryAudit } from '../../test/fakes/memory-audit.ts'
import { openSqliteStore } from '../store/sqlite-store.ts'
import type { ReconcileDeps } from './deps.ts'
import { ReconcilingPlatform } from './platform.ts'

const shop = refOf('shop')
const ann = { id: 'a', name: 'ann', waitsMs: null } as const
const waiting = { ...ann, waitsMs: 60_000 }
const bob = { id: 'b', name: 'bob' }

/** The use cases over a real store and an engine that is always done at once. */
class Bed {
  readonly engine = new FakeEngine()
  /** Writes that fail from now on: name of the method and what it throws. */
  readonly failing = new Map<keyof Store, Error>()
  now = Date.now()
  /** What the app file says. */
  spec: AppSpec = { ...specOf(shop), release: null }
  readonly #folder: string
  #store: Store | null = null
  #platform: ReconcilingPlatform | null = null
  #count = 0

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async with(use: (bed: Bed) => Promise<void>): Promise<void> {
    const bed = new Bed(await mkdtemp(join(tmpdir(), 'fairway-queue-')))
    try {
      await bed.open()
      await use(bed)
    } finally {
      await bed.close()
      await rm(bed.#folder, { recursive: true })
    }
  }

  get platform(): ReconcilingPlatform {
    assert.ok(this.#platform)
    return this.#platform
  }

  get store(): Store {
    assert.ok(this.#store)
    return this.#store
  }

  async open(): Promise<void> {
    const clock = { ...systemClock, now: () => this.now++ }
    this.#store = await openSqliteStore({ path: join(this.#folder, 'fairway.db'), clock })
    const deps: ReconcileDeps = {
      store: failingStore(this.#store, this.failing),
      engine: this.engine,
      baker: { bake: () => Promise.resolve({ image: releaseOf(shop).image, summary: 'baked' }) },
      sources: new MemorySourceStore(),
      images: {
        publish: () => Promise.resolve(),
        deliver: () => Promise.resolve(),
        withdraw: () => Promise.resolve(),
        collect: () => Promise.resolve({ images: 0, bytes: 0 }),
      },
      logs: {
        read: () => ({ [Symbol.asyncIterator]: () => [][Symbol.iterator]() as never }),
        tail: () => Promise.resolve([]),
        note: () => Promise.resolve(),
        collect: () => Promise.resolve(0),
        deleteApp: () => Promise.resolve(),
      },
      reader: {
        read: (_, { image }) =>
          Promise.resolve({
            spec: this.spec,
            recognition: { plan: { kind: 'image', reference: image ?? '' }, evidence: 'an image' },
            warnings: [],
            laterKeys: [],
            positionOf: () => null,
          }),
        diff: () => [],
      },
      audit: new MemoryAudit(),
      secrets: noSecrets,
      generated: noSecrets,
      keys: noSecrets,
      clock,
      log: silentLog,
      randomId: () => String(this.#count++),
      urlOf: (host) => `http://${host}/`,
      defaultHost: () => 'shop.localhost',
    }
    this.#platform = new ReconcilingPlatform(deps, { releasesKept: 5, graceMs: 0, logsKeptMs: 0 })
    await this.#platform.open()
  }

  async close(): Promise<void> {
    await this.#platform?.close()
    await this.#store?.close()
  }

  /** As after a restart of the server. */
  async reopen(): Promise<void> {
    await this.close()
    await this.open()
  }

  deploy(image = 'app', by: Actor = ann): Promise<Rollout> {
    return this.platform.deploy(shop, { source: null, appFile: null, image }, by)
  }

  /** How the stream of a rollout ends. */
  async end(id: string): Promise<Rollout> {
    for await (const event of this.platform.events(shop, id, AbortSignal.timeout(10_000)))
      if (event.type === 'end') return event.rollout
    throw new Error(`the stream of ${id} ended without an end`)
  }

  /** Waits until the rollout is in that step. */
  async inStep(id: string, name: string): Promise<void> {
    for await (const event of this.platform.events(shop, id, AbortSignal.timeout(10_000)))
      if (event.type === 'step' && event.step.name === name) return
  }
}

function failingStore(store: Store, failing: ReadonlyMap<keyof Store, Error>): Store {
  return new Proxy(store, {
    get(target, name: keyof Store) {
      const error = failing.get(name)
      if (error !== undefined) return () => Promise.reject(error)
      if (name === 'access' || name === 'users' || name === 'values') return target[name]
      return target[name].bind(target)
    },
  })
}

test('a rollout is followed to its end, and its release serves', () =>
  Bed.with(async (bed) => {
    const rollout = await bed.deploy()
    assert.equal((await bed.end(rollout.id)).status, 'succeeded')
    assert.equal((await bed.store.getApp(shop))?.active, 1)
    assert.equal(bed.engine.running(shop), 1)
  }))

test('destroying an app during its deploy ends the stream with CONFLICT, also for those who wait', () =>
  Bed.with(async (bed) => {
    bed.engine.stuck = true
    const running = await bed.deploy()
    await bed.inStep(running.id, 'start')
    const waiting = await bed.deploy()
    const ends = Promise.all([bed.end(running.id), bed.end(waiting.id)])
    await bed.platform.destroy(shop)
    for (const { status, failure } of await ends) {
      assert.equal(status, 'failed')
      assert.equal(failure?.code, 'CONFLICT')
      assert.match(failure.message, /the app was destroyed/)
    }
    assert.equal(await bed.store.getApp(shop), null)
    assert.equal(bed.engine.running(shop), null)
  }))

test('a rollout whose record cannot be written ends for its followers with the reason', () =>
  Bed.with(async (bed) => {
    await bed.end((await bed.deploy()).id)
    for (const [error, code] of [
      [new FairwayError('DISK_FULL', 'no space is left'), 'DISK_FULL'],
      [new Error('disk I/O error'), 'INTERNAL'],
    ] as const) {
      bed.engine.stuck = true
      const rollout = await bed.deploy()
      await bed.inStep(rollout.id, 'start')
      bed.failing.set('saveRollout', error)
      bed.engine.stuck = false
      const { status, failure } = await bed.end(rollout.id)
      assert.equal(status, 'failed')
      assert.equal(failure?.code, code)
      assert.doesNotMatch(failure.message, /I\/O/)
      bed.failing.clear()
    }
    assert.equal(bed.engine.running(shop), 1, 'what served before serves again')
  }))

test('a rollout whose end could not be written does not come back: the next one ends its record', () =>
  Bed.with(async (bed) => {
    bed.engine.stuck = true
    const lost = await bed.deploy()
    await bed.inStep(lost.id, 'start')
    bed.failing.set('saveRollout', new Error('disk I/O error'))
    bed.engine.stuck = false
    await bed.end(lost.id)
    bed.failing.clear()
    // The clock was set back meanwhile.
    bed.now -= 3_600_000
    const next = await bed.deploy()
    assert.equal((await bed.end(next.id)).status, 'succeeded')
    const record = await bed.store.getRollout(shop, lost.id)
    assert.equal(record?.status, 'failed')
    assert.match(record.failure?.message ?? '', /a newer one took over/)
    await bed.reopen()
    assert.deepEqual(await bed.store.listUnfinishedRollouts(), [])
    assert.equal(bed.engine.running(shop), (await bed.store.getApp(shop))?.active)
  }))

test('of those that wait the newest wins, and the others are told', () =>
  Bed.with(async (bed) => {
    bed.engine.stuck = true
    const first = await bed.deploy('first')
    await bed.inStep(first.id, 'start')
    const second = await bed.deploy('second')
    const others = await Promise.all([bed.deploy('third'), bed.deploy('fourth')])
    const newest = (await bed.store.listRollouts(shop, 1))[0]
    bed.engine.stuck = false
    assert.equal((await bed.end(first.id)).status, 'succeeded')
    for (const { id } of [second, ...others]) {
      const { status, failure } = await bed.end(id)
      assert.equal(status, id === newest?.id ? 'succeeded' : 'superseded')
      assert.equal(failure?.code, id === newest?.id ? undefined : 'SUPERSEDED')
    }
    assert.equal((await bed.store.getApp(shop))?.active, 2)
  }))

test('a deploy that waits is not given up for one that could not be stored', () =>
  Bed.with(async (bed) => {
    bed.engine.stuck = true
    const first = await bed.deploy('first')
    await bed.inStep(first.id, 'start')
    const waiting = await bed.deploy('waiting')
    bed.failing.set('addRollout', new FairwayError('DISK_FULL', 'no space is left'))
    await assert.rejects(bed.deploy('third'), { code: 'DISK_FULL' })
    bed.failing.clear()
    bed.engine.stuck = false
    assert.equal((await bed.end(waiting.id)).status, 'succeeded')
  }))

test('what another server left is gone on with, and its followers see the end', () =>
  Bed.with(async (bed) => {
    bed.engine.stuck = true
    const running = await bed.deploy()
    await bed.inStep(running.id, 'start')
    const waiting = await bed.deploy()
    await bed.reopen()
    bed.engine.stuck = false
    for (const { id } of [running, waiting]) assert.equal((await bed.end(id)).status, 'succeeded')
    assert.equal((await bed.store.getApp(shop))?.active, 2)
  }))

test('a server that starts in the middle of a move keeps what serves where it is', () =>
  Bed.with(async (bed) => {
    await bed.end((await bed.deploy()).id)
    bed.spec = { ...bed.spec, target: parseTargetName('prod') }
    bed.engine.stuck = true
    const moving = await bed.deploy()
    await bed.inStep(moving.id, 'start')
    bed.engine.told.length = 0
    let toldBefore: readonly (string | null)[] = []
    bed.engine.opening = () => (toldBefore = bed.engine.told.map(({ target }) => target))
    await bed.reopen()
    assert.deepEqual(toldBefore.slice(-2), [null, 'prod'], 'both places, the old one first')
    bed.engine.stuck = false
    assert.equal((await bed.end(moving.id)).status, 'succeeded')
    bed.engine.told.length = 0
    await bed.reopen()
    assert.deepEqual(toldBefore, ['prod'], 'once it has moved, the new place alone')
  }))

function keeping(spec: AppSpec, keepMs: number): AppSpec {
  const web = spec.processes[parseProcessName('web')]
  assert.ok(web)
  const processes = {
    [web.name]: { ...web, strategy: 'bluegreen', bluegreen: { keepMs } } as const,
  }
  return { ...spec, processes }
}

test('what bluegreen keeps goes also where its time ends while the server starts', () =>
  Bed.with(async (bed) => {
    bed.spec = keeping(bed.spec, 60_000)
    await bed.end((await bed.deploy()).id)
    await bed.end((await bed.deploy()).id)
    assert.deepEqual(bed.engine.releases(shop), [2, 1])
    bed.engine.opening = () => (bed.now += 60_000)
    await bed.reopen()
    await until('the kept release goes', () => bed.engine.releases(shop).join() === '2')
  }))

test('a rollout waits for a second person, over a restart, and then serves', () =>
  Bed.with(async (bed) => {
    const { id } = await bed.deploy('app', waiting)
    await bed.inStep(id, 'approve')
    await bed.reopen()
    assert.equal((await bed.platform.rollout(shop, id)).status, 'waiting')
    await assert.rejects(bed.platform.judge(shop, id, 'approve', ann), { code: 'FORBIDDEN' })
    for (const name of ['ann', 'ANN', 'ａｎｎ']) {
      const again = bed.platform.judge(shop, id, 'approve', { id: 'other', name })
      await assert.rejects(again, { code: 'FORBIDDEN' }, name)
    }
    const approved = await bed.platform.judge(shop, id, 'approve', bob)
    assert.equal(approved.approval?.approvedBy, 'bob')
    const ended = await bed.end(id)
    assert.equal(ended.status, 'succeeded')
    assert.equal(ended.steps[0]?.summary, 'approved by bob')
    await assert.rejects(bed.platform.judge(shop, id, 'approve', bob), { code: 'CONFLICT' })
  }))

test('of many verdicts at once one counts', () =>
  Bed.with(async (bed) => {
    const { id } = await bed.deploy('app', waiting)
    const verdicts = ['refuse', 'approve', 'approve', 'refuse'] as const
    const told = await Promise.allSettled(
      verdicts.map((verdict) => bed.platform.judge(shop, id, verdict, bob)),
    )
    assert.equal(told.filter(({ status }) => status === 'fulfilled').length, 1)
    const ended = await bed.end(id)
    assert.deepEqual([ended.status, ended.failure?.code], ['failed', 'APPROVAL_REFUSED'])
  }))

test('whoever asked takes it back by refusing', () =>
  Bed.with(async (bed) => {
    const { id } = await bed.deploy('app', waiting)
    await bed.platform.judge(shop, id, 'refuse', ann)
    assert.equal((await bed.end(id)).failure?.code, 'APPROVAL_REFUSED')
  }))

test('what nobody approves in time ends, also where the time was over before the server came back', () =>
  Bed.with(async (bed) => {
    const { id } = await bed.deploy('app', { ...ann, waitsMs: 50 })
    assert.equal((await bed.end(id)).failure?.code, 'APPROVAL_EXPIRED')
    const later = await bed.deploy('app', waiting)
    await bed.inStep(later.id, 'approve')
    await bed.close()
    bed.now += 120_000
    await bed.open()
    assert.equal((await bed.end(later.id)).failure?.code, 'APPROVAL_EXPIRED')
    const late = bed.platform.judge(shop, later.id, 'approve', bob)
    await assert.rejects(late, { code: 'CONFLICT' })
  }))

test('a newer one takes the place of what waits, and what waits never that of what was approved', () =>
  Bed.with(async (bed) => {
    const first = await bed.deploy('one', waiting)
    const second = await bed.deploy('two', waiting)
    assert.equal((await bed.end(first.id)).status, 'superseded')
    await bed.platform.judge(shop, second.id, 'approve', bob)
    const third = await bed.deploy('three', waiting)
    assert.equal((await bed.end(second.id)).status, 'succeeded')
    assert.equal((await bed.platform.rollout(shop, third.id)).status, 'waiting')
  }))

test('destroying the app ends what waits for those who follow it', () =>
  Bed.with(async (bed) => {
    const { id } = await bed.deploy('app', waiting)
    const ended = bed.end(id)
    await bed.inStep(id, 'approve')
    await bed.platform.destroy(shop)
    assert.equal((await ended).failure?.code, 'CONFLICT')
  }))
