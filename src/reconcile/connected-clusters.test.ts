import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeEngine } from '../../test/fakes/fake-engine.ts'
import { silentLog } from '../lib/log.ts'
import type { DesiredApp } from '../model/engine.ts'
import {
  parseAppName,
  parseEnvironmentName,
  parseTargetName,
  refKey,
  type AppRef,
} from '../model/names.ts'
import type { Clusters } from '../model/targets.ts'
import { ConnectedClusters } from './connected-clusters.ts'

test('an engine that is connected anew knows what its target should hold before it is opened', async () => {
  const { connected, engines } = clusters()
  await connected.open()
  await connected.apply(PROD, desired(SHOP))
  await connected.apply(PROD, desired(BLOG))
  await connected.remove(PROD, BLOG)
  await connected.forget(PROD)
  await connected.connected(PROD)
  assert.equal(engines.length, 2)
  assert.deepEqual(engines[1]?.calls, [`apply ${refKey(SHOP)}`, 'open'])
})

test('what is applied before anything is open is told before the engine opens, and once', async () => {
  const { connected, engines } = clusters()
  await connected.apply(PROD, desired(SHOP))
  await connected.open()
  await connected.connected(PROD)
  assert.equal(engines.length, 1)
  assert.equal(engines[0]?.calls.at(-1), 'open')
  assert.equal(engines[0].calls.filter((what) => what === 'open').length, 1)
})

const PROD = parseTargetName('prod')
const production = parseEnvironmentName('production')
const SHOP: AppRef = { app: parseAppName('shop'), environment: production }
const BLOG: AppRef = { app: parseAppName('blog'), environment: production }

function desired(ref: AppRef): DesiredApp {
  return { ref, target: PROD, workloads: [] }
}

class ToldEngine extends FakeEngine {
  readonly calls: string[] = []

  override open(): Promise<void> {
    this.calls.push('open')
    return super.open()
  }

  override apply(wanted: DesiredApp): Promise<void> {
    this.calls.push(`apply ${refKey(wanted.ref)}`)
    return super.apply(wanted)
  }
}

function clusters(): { connected: ConnectedClusters; engines: readonly ToldEngine[] } {
  const engines: ToldEngine[] = []
  const record = { name: PROD, kubeconfig: '-', context: null, settings: {}, createdAt: 0 }
  const store = {
    getTarget: () => Promise.resolve(record),
    listTargets: () => Promise.resolve([record]),
  }
  const made: Clusters = {
    describe: () => Promise.resolve({ server: 'https://cluster.example' }),
    check: () => Promise.resolve([]),
    door: () => Promise.reject(new Error('nobody asks this')),
    connect: () => {
      const engine = new ToldEngine()
      engines.push(engine)
      return Promise.resolve({ engine, ...REST })
    },
  }
  return { connected: new ConnectedClusters({ store, clusters: made, log: silentLog }), engines }
}

const unused = (): never => {
  throw new Error('nobody asks this')
}
const REST = {
  logs: { read: unused, tail: unused, note: unused, collect: unused, deleteApp: unused },
  manifests: { exportApp: unused, apply: unused, remove: unused, adopt: unused },
  instances: { identify: unused, isMeant: unused },
  nodes: {
    list: unused,
    drain: unused,
    uncordon: unused,
    open: () => undefined,
    close: () => Promise.resolve(),
  },
}
