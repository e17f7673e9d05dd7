/** Encrypted files from a repository to pods of a real cluster: real CLI, server, SOPS files and tokens; then everything that may not get them. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { askService } from '../../bench/service-load.ts'
import { secretsPath } from '../../src/model/instance-secrets.ts'
import { parseTargetName } from '../../src/model/names.ts'
import { freshOwner } from '../kubernetes-bed.ts'
import { filesWith } from '../planted.ts'
import {
  lacksClusterBed,
  startClusterPlatform,
  TARGET,
  type ClusterPlatform,
} from './cluster-bed.ts'
import { killServer } from './kill-server.ts'
import { askDoor, audienceOf, podToken, type TokenOf } from './pod-tokens.ts'
import { eventually } from './probe-app.ts'
import { SecretsRepository } from './secrets-repository.ts'

const skip = await lacksClusterBed()
const PROD = parseTargetName(TARGET)

/** Answers what its files are, by length and last character: an app may print its values, this one does not. With SLOW it is not ready for so many seconds. */
const SERVER = `const http = require('http'), fs = require('fs'), dir = process.env.FAIRWAY_SECRETS
const ready = Date.now() + 1000 * Number(process.env.SLOW || 0)
http.createServer((request, response) => {
  if (Date.now() < ready) { response.statusCode = 503; return response.end() }
  const names = fs.readdirSync(dir).sort(), path = dir + '/' + names[0]
  let written = 'yes'
  try { fs.writeFileSync(dir + '/mine', 'x') } catch (error) { written = error.code }
  const mount = fs.readFileSync('/proc/self/mounts', 'utf8').split('\\n').find((line) => line.split(' ')[1] === dir)
  response.end(JSON.stringify({ release: process.env.FAIRWAY_RELEASE, variable: (process.env.AS_VARIABLE || '').slice(-1), dir, names, written, kind: mount.split(' ')[2], mode: (fs.statSync(path).mode & 0o777).toString(8),
    own: fs.statSync(path).uid === process.getuid(), ends: names.map((name) => fs.readFileSync(dir + '/' + name, 'utf8').slice(-1)), token: fs.existsSync('/var/run/fairway/token') }))
}).listen(process.env.PORT)`

const APP_FILE = `version: 1
name: vault
env: { SHOWN: planted-visible }
release: { command: node check.js }
processes:
  web: { command: node server.js, resources: { cpu: 0.2, memory: 64Mi }, shutdown: { drain: 1s, stop: 2s }, health: { ready: /, start: 180s } }
environments: { production: { target: ${TARGET}, secrets: [secrets.production.yaml] } }
`

describe('secrets on a real cluster', { skip, timeout: 1_500_000 }, () => {
  const marks = ['first-planted-1', 'first-planted-2', 'second-planted-3']
  const namespace = 'vault--production'
  const stranger = `stranger-${freshOwner()}`
  let bed: ClusterPlatform
  let repository: SecretsRepository
  let folder: string

  before(async () => {
    repository = await SecretsRepository.create({
      'server.js': SERVER,
      'check.js': `const at = process.env.FAIRWAY_SECRETS + '/API_KEY'; process.exit(require('fs').readFileSync(at, 'utf8').includes('planted') ? 0 : 9)`,
      'fairway.yaml': APP_FILE,
    })
    folder = repository.folder
    bed = await startClusterPlatform({
      subnet: '10.235.9.0/24',
      access: true,
      env: repository.env,
    })
  })
  after(async () => {
    // Also where the server is away at the end of a test that failed.
    for (const one of [stranger, namespace])
      await bed.cluster.tryKubectl(['delete', 'namespace', one, '--wait=false'])
    await bed.destroy()
    await repository.remove()
  })

  const fairway = (args: readonly string[], input?: string) =>
    repository.fairway(bed.platform, args, input)
  const must = (args: readonly string[], input?: string) =>
    repository.must(bed.platform, args, input)
  const answer = async (): Promise<Record<string, unknown>> =>
    JSON.parse(await askService(await bed.service(namespace))) as Record<string, unknown>
  /** Copies that stay. */
  const pods = async (): Promise<readonly Pod['metadata'][]> => {
    const query = ['get', 'pods', '-n', namespace, '-l', 'fairway/kind=service', '-o', 'json']
    const { items } = JSON.parse(await bed.cluster.kubectl(query)) as { items: Pod[] }
    const all = items.map(({ metadata }) => metadata)
    return all.filter(({ deletionTimestamp }) => deletionTimestamp === undefined)
  }

  test('once the environment is a recipient, pods, the release command and `run` get the values as files in memory', async () => {
    await must(['secrets', 'set', 'API_KEY=-', '--env', 'production'], marks[0])
    await must(['secrets', 'set', 'TOKEN=-', '--env', 'production'], marks[1])
    await must('secrets recipients add --app vault --env production'.split(' '))
    assert.match(await must(['plan']), /\+ secret API_KEY/)
    await must(['deploy'])
    assert.deepEqual(await answer(), {
      release: '1',
      variable: '',
      dir: '/run/secrets',
      names: ['API_KEY', 'TOKEN'],
      written: 'EROFS',
      kind: 'tmpfs',
      mode: '400',
      own: true,
      ends: ['1', '2'],
      token: false,
    })
    await must(['run', '--', 'node', 'check.js'])
    assert.match(await must(['doctor', '--target', TARGET]), /apps get their secrets/)
  })

  test('a push makes new pods with the new value, a rollback brings the old one back', async () => {
    await must(['secrets', 'set', 'API_KEY=-', '--env', 'production'], marks[2])
    assert.doesNotMatch(await must(['secrets', 'push']), /bake/)
    await eventually(async () => String((await answer())['ends']) === '3,2')
    await must(['rollback', '1'])
    await eventually(async () => String((await answer())['ends']) === '1,2')
  })

  test('a pod of the old release that starts anew in the middle of a rollout gets its values', async () => {
    const before = String((await answer())['release'])
    const [old] = await pods()
    assert.ok(old)
    // Long enough for the old one to be back before the new one is ready, also where all of that takes its time.
    const rollout = fairway(['env', 'set', 'SLOW=70'])
    const isOf = ({ labels }: Pod['metadata']): boolean => labels['fairway/release'] === before
    await eventually(async () => (await pods()).some((pod) => !isOf(pod)))
    // Also by a server that has never heard of the release but from its store.
    await killServer(bed.platform)
    await bed.cluster.kubectl(['delete', 'pod', old.name, '-n', namespace, '--now'])
    await must(['up'])
    await eventually(async () => (await answer())['release'] === before, { withinMs: 65_000 })
    const [now] = (await pods()).filter(isOf)
    assert.ok(now)
    assert.notEqual(now.name, old.name)
    await rollout
    await eventually(async () => (await answer())['release'] !== before, { withinMs: 180_000 })
    await must(['env', 'unset', 'SLOW'])
  })

  test('whoever is not a pod of the release that has yet to begin is refused', async () => {
    const { cluster } = bed
    const audience = await audienceOf(bed, namespace, 'secrets')
    const [pod] = await pods()
    assert.ok(pod)
    const tokenOf = (of: TokenOf = {}) => podToken(cluster, { in: namespace, audience, ...of })
    const refused = async (token: string, status: number, words: RegExp): Promise<void> => {
      const got = await askDoor(bed, secretsPath(PROD), token)
      assert.equal(got.status, status, got.text)
      assert.match(got.text, words)
    }
    await refused(await tokenOf({ pod }), 404, /has its values already/)
    await refused(await tokenOf(), 403, /bound to no pod/)
    await refused(await tokenOf({ pod, audience: 'somebody-else' }), 401, /none for this server/)
    await refused('a.b.c', 401, /none for this server/)
    const payload = Buffer.from(JSON.stringify({ aud: [audience] })).toString('base64url')
    await refused(`e30.${payload}.c2ln`, 401, /none for this server/)

    // Somebody's pod with our labels, in a namespace of theirs and under an account of theirs.
    await cluster.kubectl(['create', 'namespace', stranger])
    await cluster.kubectl(['create', 'serviceaccount', 'web', '-n', stranger])
    const { labels } = ((await bed.object(namespace, 'pod', pod.name)) as Pod).metadata
    const overrides = JSON.stringify({
      metadata: { labels },
      spec: { serviceAccountName: 'web', schedulingGates: [{ name: 'test/never' }] },
    })
    const run = ['run', 'copy', '--image', 'x', '-n', stranger, '--overrides', overrides]
    await cluster.kubectl(run)
    const copy = ((await bed.object(stranger, 'pod', 'copy')) as Pod).metadata
    const own = { name: 'copy', uid: copy.uid }
    await refused(await tokenOf({ in: stranger, pod: own }), 403, /none of this server/)

    // A pod that waits under the app's own account, of a release that nobody planned.
    const old = { ...labels, 'fairway/release': '99' }
    // With this one the ReplicaSet would take it for one too many.
    Reflect.deleteProperty(old, 'pod-template-hash')
    const gated = { ...RESTRICTED, serviceAccountName: 'web' }
    const later = JSON.stringify({ metadata: { labels: old }, spec: gated })
    await cluster.kubectl(['run', 'later', '--image', 'x', '-n', namespace, '--overrides', later])
    const unplanned = ((await bed.object(namespace, 'pod', 'later')) as Pod).metadata
    const token = await tokenOf({ pod: { name: 'later', uid: unplanned.uid } })
    await refused(token, 404, /no values are planned for web of release 99/)
    await cluster.kubectl(['delete', 'pod', 'later', '-n', namespace, '--now'])
    // The API server remembers for some seconds that the token was good; the pod is looked up all the same.
    const late = await askDoor(bed, secretsPath(PROD), token)
    assert.match(late.text, /the pod of the token is gone|none for this server/)
    const audit = await must(['audit', '--json', '-n', '200'])
    assert.match(audit, /"outcome":"denied"[^\n]*the pod is none of this server/)
    assert.match(audit, /"instance":"web-a-[^\n]*secrets\.production\.yaml/)
  })

  test('a pod that starts while the server is away waits for it, and comes up', async () => {
    const [before] = await pods()
    assert.ok(before)
    await killServer(bed.platform)
    await bed.cluster.kubectl(['delete', 'pod', before.name, '-n', namespace, '--now'])
    await eventually(
      async () => {
        const [pod] = await pods()
        if (pod === undefined || pod.name === before.name) return false
        const query = ['logs', pod.name, '-n', namespace, '-c', 'secrets']
        return /waits for the server/.test(await bed.cluster.kubectl(query))
      },
      { withinMs: 60_000 },
    )
    await must(['up'])
    await eventually(async () => String((await answer())['ends']) === '1,2', { withinMs: 60_000 })
  })

  test('no value is in any object, log or answer, in what etcd wrote, or on a disk of the server', async () => {
    for (const args of [
      ['ps', '--json'],
      ['releases', '--json'],
      ['status', '--json'],
      ['logs', '--json'],
      ['env', 'list', '--values'],
      ['target', 'list', '--json'],
      ['audit', '--json', '-n', '500'],
    ])
      await fairway(args)
    const objects = 'all,secrets,configmaps,networkpolicies,events,serviceaccounts'
    repository.said.push(await bed.cluster.kubectl(['get', objects, '-n', namespace, '-o', 'yaml']))
    for (const { name } of await pods())
      repository.said.push(
        await bed.cluster.kubectl(['logs', name, '-n', namespace, '--all-containers']),
      )
    const everything = repository.said.join('\n')
    assert.match(everything, /planted-visible/)
    const { written } = bed.lab
    assert.ok(
      (await filesWith(written, ['planted-visible'])).length > 0,
      'the search finds what is there',
    )
    assert.deepEqual(await filesWith([...written, bed.platform.dataDir], marks), [])
    for (const mark of marks) assert.ok(!everything.includes(mark), `${mark} was said`)
  })

  test('a variable from a secret is one Secret with that value alone, and goes with its release', async () => {
    const asked = ['asked-planted-4', 'asked-planted-5']
    const secrets = async (): Promise<readonly KubeSecret[]> => {
      const query = ['get', 'secrets', '-A', '-l', 'fairway/process', '-o', 'json']
      return (JSON.parse(await bed.cluster.kubectl(query)) as { items: KubeSecret[] }).items
    }
    const describe = (env: string): Promise<void> =>
      writeFile(join(folder, 'fairway.yaml'), APP_FILE.replace('env: {', `env: { ${env}`))
    assert.deepEqual(await secrets(), [], 'nobody asked for one')
    await must(['secrets', 'set', 'VARIABLE=-', '--env', 'production'], asked[0])
    await describe('AS_VARIABLE: { secret: VARIABLE },')
    assert.match(
      await must(['plan']),
      /web: AS_VARIABLE from secrets as a variable: its value will stand in the cluster’s own store, in a Secret of the namespace vault--production/,
    )
    await must(['deploy'])
    await eventually(async () => (await answer())['variable'] === '4')
    const [secret, ...more] = await secrets()
    assert.deepEqual(more, [])
    assert.ok(secret)
    assert.equal(secret.metadata.namespace, namespace)
    assert.equal(secret.immutable, true)
    const text = (value: string): string => Buffer.from(value).toString('base64')
    assert.deepEqual(secret.data, { AS_VARIABLE: text(asked[0] ?? '') })

    await must(['secrets', 'set', 'VARIABLE=-', '--env', 'production'], asked[1])
    await must(['secrets', 'push'])
    await eventually(async () => (await answer())['variable'] === '5', { withinMs: 60_000 })
    const dataOf = async (): Promise<string> =>
      JSON.stringify((await secrets()).map(({ data }) => data))
    const now = JSON.stringify([{ AS_VARIABLE: text(asked[1] ?? '') }])
    await eventually(async () => (await dataOf()) === now, { withinMs: 60_000 })
    await must([
      'run',
      '--',
      'node',
      '-e',
      `process.exit(process.env.AS_VARIABLE.endsWith('5') ? 0 : 9)`,
    ])

    const exported = await fairway(['export', '--app', 'vault', '--target', TARGET, '--secrets'])
    assert.notEqual(exported.code, 0)
    assert.match(exported.stderr, /whose values are in no manifest: `secrets`, `env\.AS_VARIABLE`/)
    const objects = 'pods,replicasets,deployments,configmaps,events,serviceaccounts'
    repository.said.push(await bed.cluster.kubectl(['get', objects, '-n', namespace, '-o', 'yaml']))
    const said = repository.said.join('\n')
    for (const mark of [...asked, ...asked.map(text)]) assert.ok(!said.includes(mark), mark)
    assert.deepEqual(await filesWith([bed.platform.dataDir], [...asked, ...marks]), [])
    const written = await filesWith(bed.lab.written, asked)
    assert.ok(written.length > 0, 'it stands in the store of the cluster')
    assert.deepEqual(
      written.filter((path) => !path.includes('/etcd/')),
      [],
    )
    assert.deepEqual(await filesWith(bed.lab.written, marks), [], 'what was not asked for does not')

    await describe('')
    await must(['deploy'])
    await eventually(async () => (await secrets()).length === 0, { withinMs: 60_000 })
  })
})

/** A pod that no node gets, as restrictive as the namespaces of apps ask for. */
const RESTRICTED = {
  schedulingGates: [{ name: 'test/never' }],
  securityContext: {
    runAsNonRoot: true,
    runAsUser: 65_532,
    seccompProfile: { type: 'RuntimeDefault' },
  },
  containers: [
    {
      name: 'later',
      image: 'x',
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
    },
  ],
}

interface KubeSecret {
  readonly metadata: {
    readonly namespace: string
    readonly labels: Readonly<Record<string, string>>
  }
  readonly immutable?: boolean
  readonly data: Readonly<Record<string, string>>
}

interface Pod {
  readonly metadata: {
    readonly name: string
    readonly uid: string
    readonly deletionTimestamp?: string
    readonly labels: Readonly<Record<string, string>>
  }
}
