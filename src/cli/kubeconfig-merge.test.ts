import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat, symlink, lstat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import type { AccessTargetBody } from '../contract/access-endpoints.ts'
import { parseTargetName } from '../model/names.ts'
import { entriesFor, kubeconfigOf } from './kubeconfig-entries.ts'
import { mergeIntoFile, mergeKubeconfig } from './kubeconfig-merge.ts'

const target = {
  target: parseTargetName('prod'),
  way: 'proxy',
  server: 'https://localhost:7443/clusters/prod',
  serverName: null,
  ca: 'PEM',
  scopes: [
    { app: 'shop', environment: 'production', namespace: 'shop--production', role: 'viewer' },
    { app: 'shop', environment: 'staging', namespace: 'shop--staging', role: 'admin' },
  ],
} satisfies AccessTargetBody
const OPTIONS = {
  server: 'http://127.0.0.1:7070',
  command: 'fairway',
  version: 'v1',
  environment: null,
  app: null,
} as const

test('a kubeconfig names the plugin in the order that is quick, and holds no secret', () => {
  const entries = [entriesFor(target, { ...OPTIONS, environment: 'staging' })]
  assert.deepEqual(kubeconfigOf(entries), {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'fairway-prod-staging',
        cluster: {
          server: 'https://localhost:7443/clusters/prod',
          'certificate-authority-data': Buffer.from('PEM').toString('base64'),
        },
      },
    ],
    users: [
      {
        name: 'fairway-prod-staging',
        user: {
          exec: {
            apiVersion: 'client.authentication.k8s.io/v1',
            command: 'fairway',
            args: [
              'kube-token',
              '--server',
              'http://127.0.0.1:7070',
              '--target',
              'prod',
              '--env',
              'staging',
            ],
            interactiveMode: 'Never',
            provideClusterInfo: false,
            installHint: 'fairway is not on PATH. Install it, then log in: fairway login URL.',
          },
        },
      },
    ],
    contexts: [
      {
        name: 'fairway-prod-staging',
        context: {
          cluster: 'fairway-prod-staging',
          user: 'fairway-prod-staging',
          namespace: 'shop--staging',
        },
      },
    ],
    'current-context': 'fairway-prod-staging',
  })
})

test('among several namespaces none is chosen', () => {
  assert.equal('namespace' in entriesFor(target, OPTIONS).context, false)
})

test('merging replaces entries of the same name and leaves the rest, comments too', () => {
  const before = `# mine
apiVersion: v1
kind: Config
current-context: home
clusters:
- name: home # in the cellar
  cluster: {server: "https://10.0.0.1:6443"}
- name: fairway-prod
  cluster: {server: "https://old"}
users:
- name: home
  user: {token: abc}
contexts:
- name: home
  context: {cluster: home, user: home}
`
  const text = mergeKubeconfig(before, [entriesFor(target, OPTIONS)])
  assert.match(text, /^# mine\n/)
  assert.match(text, /name: home # in the cellar/)
  const merged = parse(text) as Record<string, { name: string; cluster?: { server: string } }[]>
  assert.deepEqual(
    merged['clusters']?.map(({ name, cluster }) => [name, cluster?.server]),
    [
      ['home', 'https://10.0.0.1:6443'],
      ['fairway-prod', 'https://localhost:7443/clusters/prod'],
    ],
  )
  assert.deepEqual(
    merged['contexts']?.map(({ name }) => name),
    ['home', 'fairway-prod'],
  )
  assert.equal(merged['current-context'], 'fairway-prod')
  assert.equal(mergeKubeconfig(text, [entriesFor(target, OPTIONS)]), text)
})

test('what is no kubeconfig is left alone', () => {
  for (const text of ['- a\n', 'a: [', 'text'])
    assert.throws(() => mergeKubeconfig(text, []), { code: 'INVALID_REQUEST' })
})

test('the file is the owner’s alone, a link stays a link, and kubectl’s lock is respected', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-merge-'))
  try {
    const entries = [entriesFor(target, OPTIONS)]
    const fresh = join(folder, 'new/config')
    await mergeIntoFile(fresh, entries)
    assert.equal((await stat(fresh)).mode & 0o777, 0o600)
    const link = join(folder, 'link')
    await symlink(fresh, link)
    await mergeIntoFile(link, entries)
    assert.equal((await lstat(link)).isSymbolicLink(), true)
    assert.match(await readFile(fresh, 'utf8'), /fairway-prod/)
    await writeFile(`${fresh}.lock`, '')
    await assert.rejects(mergeIntoFile(fresh, entries), { code: 'CONFLICT' })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
