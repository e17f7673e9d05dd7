import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  appOf,
  IMAGE,
  settingsWith,
  SHOP,
  specOf,
  trackOf,
  WEB,
  workloadOf,
} from '../../test/fakes/cluster-plan.ts'
import { fingerprints } from './fingerprints.ts'
import { parseAppName } from '../model/names.ts'
import { Secret, type SecretPlan } from '../model/secrets.ts'
import { at, listAt, named } from './json-value.ts'
import type { KubeObject } from './object.ts'
import { planApp } from './plan-app.ts'
import { jobName, planJob } from './plan-job.ts'
import type { OpenedValues } from './pod-values.ts'

const env = { GREETING: 'costs $(PRICE)', TOKEN: 'hunter2' }

function planWith(secretEnv: readonly string[]): readonly KubeObject[] {
  return planApp(appOf(workloadOf({}, [trackOf({ env, secretEnv })])), settingsWith())
}

test('values of the app file stand in the pods, values that a person has set in a Secret alone', () => {
  const objects = planWith(['TOKEN'])
  const secret = objects.find(({ kind }) => kind === 'Secret')
  assert.deepEqual(secret?.['data'], { TOKEN: Buffer.from('hunter2').toString('base64') })
  const pods = JSON.stringify(objects.filter(({ kind }) => kind === 'Deployment'))
  assert.match(pods, /"name":"GREETING","value":"costs \$\$\(PRICE\)"/)
  assert.doesNotMatch(pods, /hunter2|aHVudGVyMg/)
  const none = planWith([])
  assert.deepEqual(
    none.filter(({ kind }) => kind === 'Secret'),
    [],
  )
})

test('the name of a Secret tells its values from others to whoever has the key alone', () => {
  const nameOf = (key: string, value = 'hunter2', app = SHOP): string => {
    const track = trackOf({ env: { TOKEN: value }, secretEnv: ['TOKEN'] })
    const settings = settingsWith({ fingerprint: fingerprints(Secret.of(key)) })
    const objects = planApp({ ...appOf(workloadOf({}, [track])), ref: app }, settings)
    return objects.find(({ kind }) => kind === 'Secret')?.metadata.name ?? ''
  }
  assert.match(nameOf('one key'), /^web--env-[0-9a-f]{10}$/)
  assert.equal(nameOf('one key'), nameOf('one key'))
  const others = [
    nameOf('another key'),
    nameOf('one key', 'hunter3'),
    nameOf('one key', 'hunter2', { ...SHOP, app: parseAppName('other') }),
  ]
  for (const other of others) assert.notEqual(other, nameOf('one key'))
})

test('two releases with the same values share one Secret, which is neither’s', () => {
  const values = new Map([
    ['web@1', opened('planted')],
    ['web@2', opened('planted')],
  ])
  const tracks = (['stable', 'candidate'] as const).map((name, index) =>
    trackOf({
      name,
      release: index + 1,
      env,
      secretEnv: ['TOKEN'],
      secrets: { ...PLAN, documents: [] },
      weight: 50,
    }),
  )
  const planned = (...of: readonly (typeof tracks)[number][]): readonly KubeObject[] =>
    planApp(appOf(workloadOf({}, of)), settingsWith({ values })).filter(
      ({ kind }) => kind === 'Secret',
    )
  const both = planned(...tracks)
  assert.equal(both.length, 2)
  for (const track of tracks) assert.deepEqual(planned(track), both)
})

const PLAN: SecretPlan = {
  documents: [{ path: 's.yaml', text: 'encrypted' }],
  env: { API_KEY: { kind: 'secret', name: 'KEY' } },
}

function opened(value: string, change: Partial<OpenedValues> = {}): OpenedValues {
  const env = new Map([['API_KEY', Secret.of(value)]])
  return { env, envVersion: `print-of-${value}`, restart: '', ...change }
}

function takenWith(values: OpenedValues | null, plan = { ...PLAN, documents: [] }) {
  const settings = settingsWith(values === null ? {} : { values: new Map([['web@1', values]]) })
  const track = trackOf({ env: { API_KEY: 'in clear', OTHER: 'x' }, secretEnv: [], secrets: plan })
  const objects = planApp(appOf(workloadOf({}, [track])), settings)
  const template = at(
    objects.find(({ kind }) => kind === 'Deployment'),
    'spec',
    'template',
  )
  return { secrets: objects.filter(({ kind }) => kind === 'Secret'), template }
}

test('a variable from a secret is a reference to an immutable Secret with what was asked for and no more', () => {
  const { secrets, template } = takenWith(opened('planted'))
  const [secret, ...more] = secrets
  assert.deepEqual(more, [])
  assert.deepEqual(secret?.['data'], { API_KEY: Buffer.from('planted').toString('base64') })
  assert.equal(secret['immutable'], true)
  assert.equal(secret.metadata.namespace, 'shop--production')
  assert.equal(secret.metadata.labels['fairway/owner'], 'test')
  assert.equal(secret.metadata.labels['fairway/process'], 'web')
  const [container] = listAt(template, 'spec', 'containers')
  const env = listAt(container, 'env')
  assert.deepEqual(
    env.filter((entry) => at(entry, 'name') === 'API_KEY'),
    [
      {
        name: 'API_KEY',
        valueFrom: { secretKeyRef: { name: secret.metadata.name, key: 'API_KEY' } },
      },
    ],
    'what is nearer to the process counts, and a name is there once',
  )
  assert.deepEqual(named(env, 'name', 'OTHER'), { name: 'OTHER', value: 'x' })
  assert.doesNotMatch(JSON.stringify(template), /planted|cGxhbnRlZ/)
})

test('another value is another Secret, called by a fingerprint that needs the key of the environment', () => {
  const nameOf = (value: string, envVersion: string): string | undefined =>
    takenWith(opened(value, { envVersion })).secrets[0]?.metadata.name
  assert.equal(nameOf('one', 'aaaaaaaaaaaa'), 'web--secret-aaaaaaaaaa')
  assert.equal(nameOf('one', 'bbbbbbbbbbbb'), 'web--secret-bbbbbbbbbb')
  assert.throws(() => takenWith(null), { code: 'RUNNER_UNAVAILABLE' })
  assert.throws(() => takenWith(opened('x', { env: new Map() })), { code: 'RUNNER_UNAVAILABLE' })
})

test('a value that changes without a release is another pod, of services alone', () => {
  const print = (restart: string): unknown =>
    at(takenWith(opened('x', { restart })).template, 'metadata', 'annotations', 'fairway/values')
  assert.equal(print('0123456789abcdef-and-more'), '0123456789abcdef')
  assert.equal(print(''), undefined)
})

test('what a run takes is of that run, and not shared with the process', () => {
  const app = appOf(workloadOf())
  const job = {
    ...{ ref: SHOP, spec: specOf(app), process: WEB, release: 1, image: IMAGE, argv: ['x'] },
    ...{ env, secretEnv: ['TOKEN'], secrets: { ...PLAN, documents: [] } },
    ...{ timeoutMs: 1_000, key: 'run-1' },
  }
  const planned = planJob(job, settingsWith({ values: new Map([['web@1', opened('planted')]]) }))
  const names = planned
    .filter(({ kind }) => kind === 'Secret')
    .map(({ metadata }) => [metadata.name, metadata.labels['fairway/job']] as const)
  const name = jobName(job)
  assert.equal(names.length, 2)
  for (const [secret, label] of names) {
    assert.ok(secret.startsWith(`${name}--`), secret)
    assert.equal(label, name)
  }
})
