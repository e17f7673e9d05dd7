import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { sampleSpec } from '../../test/runner-suite.ts'
import { silentLog } from '../lib/log.ts'
import type { InstanceSpec } from '../model/instance.ts'
import { parseAppName, parseEnvironmentName } from '../model/names.ts'
import type { ImageFacts } from '../model/release.ts'
import { Standbys } from './standbys.ts'

const image: ImageFacts = {
  digest: `sha256:${'0'.repeat(64)}`,
  flavour: 'image',
  command: [],
  env: {},
  workingDir: '/',
  user: '',
  port: null,
  sizeBytes: 0,
}
const environment = parseEnvironmentName('production')

function specOf(app: string, more: Partial<InstanceSpec> = {}): InstanceSpec {
  const ref = { app: parseAppName(app), environment }
  return sampleSpec(image, ['true'], { ref, listens: true, ...more })
}

/** What a runner has made ahead, by id; the order of a real one's work does not matter here. */
class Shelf {
  readonly ids = new Set<string>()
  problem: Error | null = null
  prepare({ id }: InstanceSpec): Promise<string | null> {
    if (this.problem !== null) return Promise.reject(this.problem)
    this.ids.add(id)
    return Promise.resolve(`10.0.0.${String(this.ids.size)}`)
  }
  remove(id: string): Promise<void> {
    this.ids.delete(id)
    return Promise.resolve()
  }
}

function standbysOver(runner: Shelf): Standbys {
  return new Standbys({ runner, log: silentLog, limit: 2 })
}

test('what was made ahead is given away once, for the same spec under another id', async () => {
  const shelf = new Shelf()
  const standbys = standbysOver(shelf)
  const kept = specOf('shop')
  standbys.keep(kept)
  await turn()
  const wanted = { ...kept, id: 'web-1-other', createdAt: kept.createdAt + 9 }
  assert.deepEqual(standbys.claim(wanted), { id: kept.id, source: '10.0.0.1' })
  assert.equal(standbys.claim(wanted), null)
  await standbys.settled()
  assert.deepEqual([...shelf.ids], [kept.id], 'it belongs to whoever claimed it')
})

test('what was made of another spec is of no use, and goes', async () => {
  const shelf = new Shelf()
  const standbys = standbysOver(shelf)
  const kept = specOf('shop')
  standbys.keep(kept)
  assert.equal(standbys.claim({ ...kept, env: { A: '1' } }), null)
  await standbys.settled()
  assert.deepEqual([...shelf.ids], [])
})

test('past the limit the oldest goes, whoever owns it', async () => {
  const shelf = new Shelf()
  const standbys = standbysOver(shelf)
  const specs = ['a', 'b', 'c'].map((app) => specOf(app))
  for (const spec of specs) standbys.keep(spec)
  await standbys.settled()
  assert.deepEqual(
    [...shelf.ids],
    specs.slice(1).map(({ id }) => id),
  )
})

test('those of releases that an app has no more go; other apps keep theirs', async () => {
  const shelf = new Shelf()
  const standbys = standbysOver(shelf)
  const [mine, other] = [specOf('mine'), specOf('other')]
  standbys.keep(mine)
  standbys.keep(other)
  standbys.keepOnly(mine.ref, new Set(['web@2']))
  await standbys.settled()
  assert.deepEqual([...shelf.ids], [other.id])
})

test('secrets among the variables are not opened ahead, and a failure leaves room for the next', async () => {
  const shelf = new Shelf()
  const standbys = standbysOver(shelf)
  standbys.keep(specOf('private', { privateEnv: ['TOKEN'] }))
  shelf.problem = new Error('no network')
  const spec = specOf('shop')
  standbys.keep(spec)
  await turn()
  assert.equal(standbys.claim(spec), null)
  shelf.problem = null
  standbys.keep(spec)
  await turn()
  assert.deepEqual([...shelf.ids], [spec.id])
})
