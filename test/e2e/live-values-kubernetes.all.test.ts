/** Values of a real OpenBao and generated ones on their way to pods of a real cluster, and what happens when they change. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { z } from 'zod'
import { askService } from '../../bench/service-load.ts'
import { lacksBao } from '../openbao.ts'
import { filesWith } from '../planted.ts'
import { postgresPrograms } from '../postgres-cluster.ts'
import {
  lacksClusterBed,
  startClusterPlatform,
  TARGET,
  type ClusterPlatform,
} from './cluster-bed.ts'
import { killServer } from './kill-server.ts'
import { eventually } from './probe-app.ts'
import { openVaultBed, type VaultBed } from './vault-bed.ts'

/** Answers with hashes of what it has: an app may print its values, this one does not. */
const SERVER = `const http = require('http'), fs = require('fs'), crypto = require('crypto'), dir = process.env.FAIRWAY_SECRETS
const hash = (text) => text === undefined ? null : crypto.createHash('sha256').update(text).digest('hex')
http.createServer((request, response) => {
  const files = Object.fromEntries(fs.readdirSync(dir).map((name) => [name, hash(fs.readFileSync(dir + '/' + name, 'utf8'))]))
  response.end(JSON.stringify({ pod: require('os').hostname(), release: process.env.FAIRWAY_RELEASE, files, key: hash(process.env.KEY), session: hash(process.env.SESSION) }))
}).listen(process.env.PORT)`

const APP_FILE = `version: 1
name: shop
env: { KEY: { vault: secret/shop/production/web#variable }, SESSION: { generate: 32 } }
files:
  FILE: { vault: secret/shop/production/web#file }
  USER: { vault: database/creds/shop#username }
  SESSION: { generate: 32 }
release: { command: node check.js }
processes:
  web: { command: node server.js, resources: { cpu: 0.2, memory: 64Mi }, shutdown: { drain: 5s, stop: 2s }, health: { ready: /, start: 60s } }
environments: { production: { target: ${TARGET} } }
`

const answered = z.object({
  pod: z.string(),
  release: z.string(),
  files: z.record(z.string(), z.string()),
  key: z.string().nullable(),
  session: z.string().nullable(),
})

const postgres = postgresPrograms()
const skip =
  (await lacksClusterBed()) ||
  (await lacksBao()) ||
  ('missing' in postgres ? postgres.missing : false)
const hash = (text: string): string => createHash('sha256').update(text).digest('hex')

describe('values from elsewhere on a real cluster', { skip, timeout: 800_000 }, () => {
  const KV_PATH = 'secret/shop/production/web'
  const namespace = 'shop--production'
  const marks = ['planted-file-1', 'planted-file-2']
  const said: string[] = []
  let vault: VaultBed
  let bed: ClusterPlatform
  let folder = ''

  before(async () => {
    if ('missing' in postgres) return
    folder = await mkdtemp(join(tmpdir(), 'fairway-live-values-'))
    await mkdir(join(folder, 'shop'))
    const files = {
      'server.js': SERVER,
      'check.js': `const fs = require('fs'); process.exit(process.env.KEY && fs.readFileSync(process.env.FAIRWAY_SECRETS + '/FILE', 'utf8').includes('planted') ? 0 : 9)`,
      'package.json': '{"name":"shop","version":"1.0.0"}',
      'fairway.yaml': APP_FILE,
    }
    for (const [name, text] of Object.entries(files))
      await writeFile(join(folder, 'shop', name), text)
    vault = await openVaultBed({ programs: postgres.folder, leaseSeconds: 40 })
    await vault.set(KV_PATH, { file: 'planted-file-1', variable: 'asked-1' })
    bed = await startClusterPlatform({ subnet: '10.235.10.0/24', access: true, env: vault.env })
  })
  after(async () => {
    await bed.cluster.tryKubectl(['delete', 'namespace', namespace, '--wait=false'])
    await bed.destroy()
    await vault.remove()
    await rm(folder, { recursive: true, force: true })
  })

  const fairway = async (args: readonly string[]) => {
    const result = await bed.platform.fairway(args, { cwd: join(folder, 'shop') })
    said.push(result.stdout, result.stderr)
    return result
  }
  const must = async (args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await fairway(args)
    assert.equal(code, 0, `${args.join(' ')}\n${stdout}\n${stderr}`)
    return `${stdout}${stderr}`
  }
  const answer = async (): Promise<z.infer<typeof answered>> =>
    answered.parse(JSON.parse(await askService(await bed.service(namespace))))
  const secrets = async (): Promise<readonly Record<string, string>[]> => {
    const query = ['get', 'secrets', '-n', namespace, '-l', 'fairway/kind=service', '-o', 'json']
    const { items } = JSON.parse(await bed.cluster.kubectl(query)) as {
      items: { data: Record<string, string> }[]
    }
    return items.map(({ data }) => data)
  }

  test('pods, the release command and `run` get values of Vault and generated ones, as files and as variables', async () => {
    assert.match(
      await must(['plan']),
      /KEY, SESSION from secrets as variables: their values will stand/,
    )
    await must(['deploy'])
    const { files, key, session } = await answer()
    assert.deepEqual(Object.keys(files), ['FILE', 'SESSION', 'USER'])
    assert.equal(files['FILE'], hash('planted-file-1'))
    assert.equal(key, hash('asked-1'))
    assert.equal(files['SESSION'], session, 'one name is one value')
    const users = (await vault.users()).map(({ name }) => hash(name))
    assert.ok(users.includes(files['USER'] ?? ''), 'a user that exists')
    assert.deepEqual(
      (await secrets()).map((data) => Object.keys(data)),
      [['KEY', 'SESSION']],
    )
    await must(['run', '--', 'node', 'check.js'])
  })

  test('another file in Vault makes other pods of the same release, and no request is lost meanwhile', async () => {
    const before = await answer()
    const failed: unknown[] = []
    const asking = new AbortController()
    const asked = (async () => {
      while (!asking.signal.aborted) await answer().catch((error: unknown) => failed.push(error))
    })()
    await vault.set(KV_PATH, { file: 'planted-file-2', variable: 'asked-1' })
    let now = before
    await eventually(async () => (now = await answer()).files['FILE'] === hash('planted-file-2'), {
      withinMs: 90_000,
    })
    const left = ['get', 'pod', before.pod, '-n', namespace]
    await eventually(async () => (await bed.cluster.tryKubectl(left)).code !== 0, {
      withinMs: 60_000,
    })
    asking.abort()
    await asked
    assert.deepEqual(failed, [])
    assert.notEqual(now.pod, before.pod)
    assert.equal(now.release, before.release)
    assert.equal(now.session, before.session)
  })

  test('another variable is another Secret; the one before it goes once no pod needs it', async () => {
    const { release } = await answer()
    await vault.set(KV_PATH, { file: 'planted-file-2', variable: 'asked-2' })
    await eventually(async () => (await answer()).key === hash('asked-2'), { withinMs: 90_000 })
    const wanted = Buffer.from('asked-2').toString('base64')
    await eventually(async () => (await secrets()).map(({ KEY }) => KEY).join() === wanted, {
      withinMs: 60_000,
    })
    assert.equal((await answer()).release, release)
  })

  test('generated values are rotated on request, also while the server was away in between', async () => {
    const before = await answer()
    await killServer(bed.platform)
    await must(['up'])
    const rotated = await must(['secrets', 'rotate-generated'])
    assert.match(rotated, /SESSION/)
    await eventually(
      async () => {
        const now = await answer()
        return now.session !== before.session && now.files['SESSION'] === now.session
      },
      { withinMs: 90_000 },
    )
  })

  test('a lease is kept while its pods run, and given back when the app is gone', async () => {
    const of = async (): Promise<number | undefined> => {
      const { files } = await answer()
      return (await vault.users()).find(({ name }) => hash(name) === files['USER'])?.until
    }
    let first = 0
    // The login of the server that was killed ends with its leases: its user is replaced by another, and the pod with it.
    await eventually(async () => (first = (await of()) ?? 0) > 0, { withinMs: 60_000 })
    await eventually(async () => ((await of()) ?? 0) > first, { withinMs: 60_000 })
  })

  test('what would need something of ours in a running pod is refused with its place', async () => {
    const file = join(folder, 'shop', 'fairway.yaml')
    await writeFile(file, APP_FILE.replace('#file }', '#file, onChange: signal }'))
    const { code, stderr } = await fairway(['plan'])
    assert.notEqual(code, 0)
    assert.match(stderr, /fairway\.yaml:5:\d+: `files\.FILE\.onChange`/)
    assert.match(stderr, /leave `onChange` out, or set it to `restart`/)
    await writeFile(file, APP_FILE)
  })

  test('no file is in any object, log or answer, and nothing at all on a disk of the server', async () => {
    for (const args of [
      ['ps', '--json'],
      ['logs', '--json'],
      ['audit', '--json', '-n', '500'],
    ])
      await fairway(args)
    const objects = 'all,secrets,configmaps,events'
    said.push(await bed.cluster.kubectl(['get', objects, '-n', namespace, '-o', 'yaml']))
    const everything = said.join('\n')
    for (const mark of marks) assert.ok(!everything.includes(mark), mark)
    assert.match(everything, /vault secret\/shop\/production\/web/, 'the audit names the path')
    assert.deepEqual(await filesWith(bed.lab.written, marks), [])
    assert.deepEqual(await filesWith([bed.platform.dataDir], [...marks, 'asked-1', 'asked-2']), [])
    await must(['destroy', 'shop', '--yes'])
    await eventually(async () => (await vault.users()).length === 0, { withinMs: 30_000 })
  })
})
