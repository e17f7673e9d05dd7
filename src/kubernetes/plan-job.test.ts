import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  appOf,
  IMAGE,
  settingsWith,
  SHOP,
  specOf,
  WEB,
  workloadOf,
} from '../../test/fakes/cluster-plan.ts'
import type { JobRequest } from '../model/engine.ts'
import { at, listAt } from './json-value.ts'
import { toYaml } from './object.ts'
import { planApp } from './plan-app.ts'
import { jobName, planJob } from './plan-job.ts'

const app = appOf(workloadOf({ volumes: [{ name: 'd', sizeBytes: 1, mount: '/d', shared: true }] }))
const request: JobRequest = {
  ref: SHOP,
  spec: specOf(app),
  process: WEB,
  release: 3,
  image: IMAGE,
  argv: ['migrate', '--now'],
  env: { A: '1' },
  timeoutMs: 90_500,
  key: 'release-3',
}

test('a job runs once, ends in time, and is hardened like the app', () => {
  const job = planJob(request, settingsWith()).at(-1)
  assert.equal(job?.kind, 'Job')
  assert.equal(job.metadata.name, jobName(request))
  const spec = job['spec']
  assert.deepEqual(
    ['backoffLimit', 'activeDeadlineSeconds', 'ttlSecondsAfterFinished'].map((key) =>
      at(spec, key),
    ),
    [0, 91, 3600],
  )
  const pod = at(spec, 'template', 'spec')
  assert.equal(at(pod, 'restartPolicy'), 'Never')
  assert.equal(at(pod, 'securityContext', 'runAsNonRoot'), true)
  const [container] = listAt(pod, 'containers')
  assert.deepEqual(at(container, 'command'), ['migrate', '--now'])
  assert.equal(at(container, 'readinessProbe'), undefined)
  assert.ok(!JSON.stringify(pod).includes('persistentVolumeClaim'))
})

test('the same key is the same Job, another one another', () => {
  assert.equal(jobName({ ...request }), jobName(request))
  assert.notEqual(jobName({ ...request, key: 'run-1' }), jobName(request))
})

test('what a job needs before the first release is byte for byte what the app plans later', () => {
  const planned = planApp(app, settingsWith())
  for (const object of planJob(request, settingsWith())) {
    if (object.kind === 'Job' || object.kind === 'Secret') continue
    const same = planned.find(
      ({ kind, metadata }) => kind === object.kind && metadata.name === object.metadata.name,
    )
    assert.ok(same, object.metadata.name)
    assert.equal(toYaml([same]), toYaml([object]))
  }
})

test('no selector of the app matches the pods of a job', () => {
  const labels = at(
    planJob(request, settingsWith()).at(-1),
    'spec',
    'template',
    'metadata',
    'labels',
  )
  for (const object of planApp(app, settingsWith())) {
    if (object.kind !== 'Service') continue
    const selector = at(object, 'spec', 'selector')
    const matches = Object.entries(selector ?? {}).every(
      ([key, value]) => at(labels, key) === value,
    )
    assert.ok(!matches, object.metadata.name)
  }
})
