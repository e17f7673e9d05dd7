import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { LocalPods } from '../../test/fakes/local-pods.ts'
import { sandboxSuite } from '../../test/sandbox-suite.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { packFolders, unpackFolders } from '../oci/folder-archive.ts'
import { JobSandbox } from './job-sandbox.ts'
import { listAt, recordAt, textAt } from './json-value.ts'
import { isPublic, packageEgress } from './package-egress.ts'

const pods = new LocalPods()

sandboxSuite(
  {
    name: 'of Jobs, whose containers are processes of this machine',
    skip: null,
    make: () => {
      const sandbox = new JobSandbox({
        client: pods,
        clock: systemClock,
        log: silentLog,
        namespace: 'fairway-system-builds',
        courier: 'registry.example/fairway-server@sha256:aa',
        pullSecrets: ['fairway-pull'],
        imageOf: () => Promise.resolve('registry.example/step@sha256:bb'),
        sources: () => Promise.resolve([{ port: 4873, addresses: ['10.0.0.7'], pods: null }]),
        archive: {
          pack: packFolders,
          unpack: (source, root, maxBytes) =>
            unpackFolders(source, root, { maxEntries: 10_000, maxBytes }),
        },
        randomId: () => randomBytes(6).toString('hex'),
      })
      return Promise.resolve({
        sandbox,
        lowerDirs: [],
        leftovers: () => Promise.resolve(pods.left),
        close: () => Promise.resolve(),
      })
    },
  },
  () => undefined,
)

test('the pod of a step has no token, no root, limits for everything, and no way out unless it asks', () => {
  const job = pods.applied.find((object) => textAt(object, 'kind') === 'Job')
  const pod = recordAt(job, 'spec', 'template', 'spec')
  assert.equal(pod['automountServiceAccountToken'], false)
  assert.equal(recordAt(pod, 'securityContext')['runAsNonRoot'], true)
  assert.equal(recordAt(job, 'spec')['backoffLimit'], 0)
  const labels = recordAt(job, 'spec', 'template', 'metadata', 'labels')
  assert.equal(labels['fairway/packages'], undefined)
  for (const container of [...listAt(pod, 'initContainers'), ...listAt(pod, 'containers')]) {
    const own = recordAt(container, 'securityContext')
    assert.equal(own['readOnlyRootFilesystem'], true)
    assert.deepEqual(own['capabilities'], { drop: ['ALL'] })
    for (const amount of ['cpu', 'memory'])
      assert.notEqual(textAt(container, 'resources', 'limits', amount), '')
  }
  for (const volume of listAt(pod, 'volumes'))
    assert.match(textAt(volume, 'emptyDir', 'sizeLimit'), /^\d+$/)
})

test('a private source is one address, a public one its port, a Service its pods', () => {
  const rules = packageEgress([
    { port: 4873, addresses: ['10.0.0.7'], pods: null },
    { port: 443, addresses: ['104.16.1.34', '104.16.2.34', '2606:4700::1'], pods: null },
    { port: 80, addresses: [], pods: { namespace: 'npm', labels: { app: 'v' }, port: 'http' } },
  ])
  const text = JSON.stringify(rules.slice(1))
  assert.equal(rules.length, 5, 'DNS, and each place once')
  assert.match(text, /"10\.0\.0\.7\/32"\}\}\],"ports":\[\{"protocol":"TCP","port":4873/)
  assert.match(text, /"0\.0\.0\.0\/0","except":\[[^\]]*"10\.0\.0\.0\/8"/)
  assert.match(text, /"::\/0"/)
  assert.match(text, /"kubernetes\.io\/metadata\.name":"npm"[^]*"port":"http"/)
  assert.deepEqual(packageEgress([]).length, 1)
})

test('what is public is told from what is not', () => {
  const known: Readonly<Record<string, boolean>> = {
    '10.1.2.3': false,
    '172.16.0.1': false,
    '172.32.0.1': true,
    '192.168.1.1': false,
    '100.64.0.1': false,
    '169.254.169.254': false,
    '127.0.0.1': false,
    '8.8.8.8': true,
    'fd00::1': false,
    'fe80::1': false,
    '2606:4700::1': true,
  }
  for (const [address, expected] of Object.entries(known))
    assert.equal(isPublic(address), expected, address)
})
