import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse, parseAllDocuments } from 'yaml'
import {
  appOf,
  GATEWAY,
  IMAGE,
  settingsWith,
  SHOP,
  specOf,
  trackOf,
  WEB,
  workloadOf,
} from '../../test/fakes/cluster-plan.ts'
import type { JobRequest } from '../model/engine.ts'
import { parseProcessName } from '../model/names.ts'
import { exportFiles, type ExportInput } from './export.ts'
import { at, textAt } from './json-value.ts'

const worker = parseProcessName('jobs')
const desired = appOf(
  workloadOf({ name: worker, type: 'worker', routes: [] }),
  workloadOf({}, [trackOf({ replicas: 2 })]),
)
const job: JobRequest = {
  ref: SHOP,
  spec: specOf(desired),
  process: WEB,
  release: 1,
  image: IMAGE,
  argv: ['migrate'],
  env: { PASSWORD: 'hunter2' },
  timeoutMs: 60_000,
  key: 'release-1',
}
const input: ExportInput = {
  desired,
  job,
  settings: settingsWith({ facts: GATEWAY }),
  secrets: 'leave out',
}

test('the layout of an app in one environment', () => {
  const files = exportFiles(input)
  const names = [
    '00-namespace.yaml',
    '20-release-job.yaml',
    '30-jobs.yaml',
    '30-web.yaml',
    '40-routes.yaml',
    '50-policy.yaml',
    'app.lock.yaml',
    'kustomization.yaml',
  ]
  assert.deepEqual(
    [...files.keys()],
    names.map((name) => `envs/production/shop/${name}`),
  )
  const kustomization: unknown = parse(files.get('envs/production/shop/kustomization.yaml') ?? '')
  assert.deepEqual(
    at(kustomization, 'resources'),
    names.filter((name) => /^\d/.test(name)),
  )
  const lock: unknown = parse(files.get('envs/production/shop/app.lock.yaml') ?? '')
  assert.deepEqual(at(lock, 'images'), [`registry.test/shop@${IMAGE.digest}`])
  assert.deepEqual([at(lock, 'schema'), at(lock, 'release')], [1, 1])
})

test('values of variables stay out unless asked for; the lock names what is missing', () => {
  const texts = (secrets: ExportInput['secrets']): string =>
    [...exportFiles({ ...input, secrets }).values()].join('\n')
  const encoded = Buffer.from('hunter2').toString('base64')
  assert.ok(!texts('leave out').includes(encoded))
  assert.ok(!texts('leave out').includes('kind: Secret'))
  assert.match(texts('leave out'), /keys:\n *- PASSWORD/)
  assert.ok(texts('write').includes(encoded))
})

test('the release command is a hook that runs between what it needs and what needs it', () => {
  const files = exportFiles({ ...input, secrets: 'write' })
  const wave = (file: string, kind: string): string => {
    const objects = parseAllDocuments(files.get(`envs/production/shop/${file}`) ?? '').map(
      (document) => document.toJS() as unknown,
    )
    const found = objects.find((object) => textAt(object, 'kind') === kind)
    return textAt(at(found, 'metadata', 'annotations'), 'argocd.argoproj.io/sync-wave')
  }
  assert.deepEqual(
    [
      wave('00-namespace.yaml', 'Namespace'),
      wave('50-policy.yaml', 'NetworkPolicy'),
      wave('20-release-job.yaml', 'Secret'),
      wave('20-release-job.yaml', 'Job'),
      wave('30-web.yaml', 'Deployment'),
    ],
    ['-2', '-2', '-1', '0', '1'],
  )
  assert.ok(!(files.get('envs/production/shop/20-release-job.yaml') ?? '').includes('ttlSeconds'))
})

test('the same input gives the same bytes', () => {
  assert.deepEqual(
    exportFiles({ ...input, desired: { ...desired, workloads: [...desired.workloads].reverse() } }),
    exportFiles(input),
  )
})
