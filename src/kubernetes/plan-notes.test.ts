import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  appOf,
  BARE,
  GATEWAY,
  IMAGE,
  settingsWith,
  specOf,
  trackOf,
  workloadOf,
} from '../../test/fakes/cluster-plan.ts'
import type { SecretPlan } from '../model/secrets.ts'
import { achievedShare, planNotes } from './plan-notes.ts'
import { unsupportedKeys } from './unsupported-keys.ts'

const disk = { name: 'data', sizeBytes: 1, mount: '/data', shared: false }
const candidate = trackOf({ name: 'candidate', release: 2, weight: 5 })
const split = workloadOf({}, [trackOf({ replicas: 3, weight: 95 }), candidate])

test('a cluster that has everything needs no words', () => {
  assert.deepEqual(planNotes(appOf(split, workloadOf()), settingsWith({ facts: GATEWAY })), [])
})

test('what a cluster lacks is said with what follows from it', () => {
  const facts = { ...BARE, metrics: false, defaultStorageClass: null }
  const image = { ...IMAGE, user: 'node' }
  const app = appOf(
    workloadOf(
      { autoscale: { cpuPercent: 70, memoryPercent: null }, volumes: [disk], spot: 'allow' },
      [trackOf({ image })],
    ),
  )
  const notes = planNotes(app, settingsWith({ facts })).join('\n')
  for (const words of [
    /neither a Gateway nor an Ingress class/,
    /no metrics/,
    /no default StorageClass/,
    /user node is a name/,
    /its only instance may run on a node that vanishes/,
  ])
    assert.match(notes, words)
})

test('the share that a candidate really gets', () => {
  assert.equal(achievedShare(split, settingsWith({ facts: GATEWAY })), 5)
  assert.equal(achievedShare(split, settingsWith()), 25)
  assert.equal(achievedShare(workloadOf(), settingsWith()), null)
  const switched = workloadOf({}, [trackOf({ weight: 0 }), { ...candidate, weight: 100 }])
  assert.equal(achievedShare(switched, settingsWith()), 100)
  assert.match(
    planNotes(appOf(split), settingsWith({ facts: { ...BARE, ingressClass: 'x' } })).join(),
    /gets 25% of the requests instead of 5%/,
  )
})

test('keys that no cluster honours are named', () => {
  const spec = specOf(
    appOf(
      workloadOf({
        maxAgeMs: 1,
        shutdown: { signal: 'SIGINT', drainMs: 1, stopMs: 1 },
        resources: { cpu: 1, memory: 1, pids: 10 },
      }),
    ),
  )
  assert.deepEqual(unsupportedKeys(spec, { isMeasured: false }), [
    'processes.web.shutdown.signal',
    'processes.web.resources.pids',
    'processes.web.maxAge',
  ])
  assert.deepEqual(unsupportedKeys(specOf(appOf(workloadOf())), { isMeasured: false }), [])
})

test('files whose change needs something in a running pod are refused by name, all other secrets are not', () => {
  const envFrom = { TOKEN: { kind: 'secret' as const, name: 'T' } }
  const spec = specOf(appOf(workloadOf({ envFrom })))
  const file = { kind: 'generated', name: 'A', bytes: 32 } as const
  const files = {
    PLAIN: file,
    NEW: { ...file, onChange: 'restart' },
    TOLD: { ...file, onChange: 'signal' },
    SWAPPED: { ...file, onChange: 'swap' },
  } as const
  const asked = { ...spec, envFrom, files, secrets: ['secrets.yaml'] }
  assert.deepEqual(unsupportedKeys(asked, { isMeasured: false }), [
    'files.TOLD.onChange',
    'files.SWAPPED.onChange',
  ])
})

test('a variable from a secret is said to stand in the cluster', () => {
  const env = { KEY: { kind: 'secret', name: 'K' } } as const
  const documents = [{ path: 's.yaml', text: 'x' }]
  const notes = (of: SecretPlan): string =>
    planNotes(appOf(workloadOf({}, [trackOf({ secrets: of })])), settingsWith()).join('\n')
  const said = notes({ documents, env })
  assert.match(
    said,
    /^web: KEY from secrets as a variable: .*a Secret of the namespace shop--production/m,
  )
  assert.doesNotMatch(notes({ documents, env: {} }), /secrets/)
})

test('a canary is judged only where something says what it serves', () => {
  const analysis = { maxErrorRate: 0.01, p95Ms: null, minRequests: 100 }
  const canary = { steps: [5, 100], pauseMs: 1000, analysis }
  const spec = specOf(appOf(workloadOf({ strategy: 'canary', canary })))
  assert.deepEqual(unsupportedKeys(spec, { isMeasured: true }), [])
  assert.deepEqual(unsupportedKeys(spec, { isMeasured: false }), ['processes.web.deploy.analysis'])
  const stepped = workloadOf({ strategy: 'canary', canary: { ...canary, analysis: null } })
  assert.deepEqual(unsupportedKeys(specOf(appOf(stepped)), { isMeasured: false }), [])
})
