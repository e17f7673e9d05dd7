import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAppName, parseEnvironmentName } from '../model/names.ts'
import type { Release, ReleaseStatus } from '../model/release.ts'
import { removable } from './collect.ts'

const statuses: readonly ReleaseStatus[] = ['pending', 'active', 'superseded', 'failed']

function release(app: string, number: number, status: ReleaseStatus): Release {
  const ref = { app: parseAppName(app), environment: parseEnvironmentName('production') }
  const spec = {
    name: ref.app,
    environment: ref.environment,
    target: null,
    build: { image: null, command: null, context: '.' },
    env: {},
    release: null,
    processes: {},
  }
  const image = {
    digest: `sha256:${String(number)}` as const,
    flavour: 'image' as const,
    command: [],
    env: {},
    workingDir: '/',
    user: '',
    port: null,
    sizeBytes: 0,
  }
  return {
    ref,
    number,
    image,
    spec,
    config: {},
    configVersion: 0,
    createdAt: 0,
    createdBy: '',
    reason: '',
    status,
  }
}

const histories = fc.array(fc.constantFrom(...statuses), { minLength: 1, maxLength: 30 })

test('what serves, what is being rolled out and the newest kept ones stay', () => {
  fc.assert(
    fc.property(
      histories,
      fc.nat(29),
      fc.nat(29),
      fc.integer({ min: 0, max: 5 }),
      (history, activeIndex, busyIndex, kept) => {
        const releases = history.map((status, index) => release('shop', index + 1, status))
        const active = (activeIndex % releases.length) + 1
        const busy = (busyIndex % releases.length) + 1
        const gone = removable(releases, {
          active: new Map([['shop/production', active]]),
          busy: new Set([`shop/production ${String(busy)}`]),
          kept,
        }).map(({ number }) => number)
        assert.ok(!gone.includes(active))
        assert.ok(!gone.includes(busy))
        const served = releases.filter(
          ({ number, status }) => status === 'superseded' && number !== active && number !== busy,
        )
        const newest = served.map(({ number }) => number).sort((a, b) => b - a)
        assert.deepEqual(
          newest.slice(0, kept).filter((number) => gone.includes(number)),
          [],
        )
        assert.deepEqual(
          newest.slice(kept).filter((number) => !gone.includes(number)),
          [],
        )
      },
    ),
  )
})

test('apps do not count for each other', () => {
  const releases = [release('shop', 1, 'superseded'), release('blog', 1, 'superseded')]
  const gone = removable(releases, { active: new Map(), busy: new Set(), kept: 1 })
  assert.deepEqual(gone, [])
})
