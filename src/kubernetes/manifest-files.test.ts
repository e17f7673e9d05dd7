import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appOf, GATEWAY, settingsWith, workloadOf } from '../../test/fakes/cluster-plan.ts'
import { parseProcessName } from '../model/names.ts'
import { exportFiles } from './export.ts'
import { FILES_OWNER, readManifests } from './manifest-files.ts'

test('every kind that an export writes is taken back, disks too', () => {
  const disk = { name: 'data', sizeBytes: 2 ** 30, mount: '/data' }
  const desired = appOf(
    workloadOf({ volumes: [{ ...disk, shared: true }] }),
    workloadOf({
      name: parseProcessName('db'),
      type: 'worker',
      routes: [],
      volumes: [{ ...disk, name: 'own', shared: false }],
    }),
  )
  const settings = settingsWith({ facts: GATEWAY, owner: FILES_OWNER })
  const kinds = readManifests(exportFiles({ desired, job: null, settings, secrets: 'write' })).map(
    ({ kind }) => kind.kind,
  )
  assert.equal(kinds[0], 'Namespace')
  for (const kind of ['PersistentVolumeClaim', 'StatefulSet', 'Deployment', 'HTTPRoute'])
    assert.ok(kinds.includes(kind), `${kind} is not among ${kinds.join(', ')}`)
})

test('a namespace whose files ask for less than the level restricted is refused, and so is what is in another namespace', () => {
  const settings = settingsWith({ owner: FILES_OWNER })
  const files = exportFiles({ desired: appOf(workloadOf()), job: null, settings, secrets: 'write' })
  const changed = (from: string, to: string): ReadonlyMap<string, string> =>
    new Map([...files].map(([path, text]) => [path, text.replaceAll(from, to)]))
  assert.throws(
    () => readManifests(changed('enforce: restricted', 'enforce: privileged')),
    /does not enforce the level restricted/,
  )
  assert.throws(
    () => readManifests(changed('namespace: ', 'namespace: kube-system #')),
    /is not in the namespace/,
  )
  assert.throws(
    () => readManifests(changed('kind: ServiceAccount', 'kind: ClusterRole')),
    /is of a kind that no export writes/,
  )
})
