import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import {
  accessSync,
  constants,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { runToEnd, type RunResult } from '../lib/process.ts'
import { sha256, type Digest } from '../oci/digest.ts'
import { ImageStore } from '../oci/image-store.ts'
import { createRegistry, type Registry } from './registry.ts'

const scratch = mkdtempSync(join(tmpdir(), 'fairway-registry-'))
const AUTH = { username: 'anyone', password: 'token' }
const BASIC = `Basic ${Buffer.from('anyone:token').toString('base64')}`
const LIMITED = `Basic ${Buffer.from('anyone:limited').toString('base64')}`

let images: ImageStore
let registry: Registry
let server: Server
let host = ''
let time = Date.now()

before(async () => {
  images = await ImageStore.open({ root: join(scratch, 'store') })
  registry = createRegistry({
    images,
    randomId: randomUUID,
    now: () => time,
    limits: { maxBlobBytes: 1 << 20, uploadTtlMs: 1000, maxUploads: 5 },
    authorize: (request, action, repository) => {
      const { authorization } = request.headers
      if (authorization === BASIC) return Promise.resolve('ok')
      if (authorization !== LIMITED) return Promise.resolve('unauthenticated')
      const allowed = repository === '' || (repository.startsWith('mine/') && action !== 'delete')
      return Promise.resolve(allowed ? 'ok' : 'denied')
    },
  })
  server = createServer((request, response) => {
    void registry.handle(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  host = `127.0.0.1:${address.port}`
})
after(async () => {
  await registry.close()
  server.closeAllConnections()
  server.close()
  rmSync(scratch, { recursive: true, force: true })
})

interface Call {
  readonly headers?: Record<string, string>
  readonly body?: string | Uint8Array<ArrayBuffer>
}

async function call(
  method: string,
  path: string,
  { headers = {}, body }: Call = {},
): Promise<Response> {
  return await fetch(new URL(path, `http://${host}`), {
    method,
    headers: { authorization: BASIC, ...headers },
    ...(body === undefined ? {} : { body }),
  })
}

async function errorCode(response: Response): Promise<string> {
  return /"code":"([A-Z_]+)"/.exec(await response.text())?.[1] ?? ''
}

async function upload(repository: string): Promise<string> {
  const response = await call('POST', `/v2/${repository}/blobs/uploads/`)
  assert.equal(response.status, 202)
  return response.headers.get('location') ?? ''
}

async function pushBlob(repository: string, text: string): Promise<Digest> {
  const digest = sha256(text)
  const response = await call('PUT', `${await upload(repository)}?digest=${digest}`, { body: text })
  assert.equal(response.status, 201)
  return digest
}

async function sampleImage(text: string): Promise<Digest> {
  const layer = await images.addLayer([
    { type: 'file', path: 'etc/motd', mode: 0o644, content: { bytes: Buffer.from(text) } },
  ])
  return await images.addImage({ layers: [layer], config: { cmd: ['/etc/motd'], env: { A: '1' } } })
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'

test('who is not known gets a challenge, who is not allowed a 403, everywhere', async () => {
  for (const path of [
    '/v2/',
    '/v2/a/manifests/x',
    '/v2/a/blobs/uploads/',
    '/v2/a/tags/list',
    '/v2/nothing',
  ]) {
    const response = await call(path.endsWith('uploads/') ? 'POST' : 'GET', path, {
      headers: { authorization: '' },
    })
    assert.equal(response.status, 401, path)
    assert.match(response.headers.get('www-authenticate') ?? '', /^Basic realm=/)
    assert.equal(await errorCode(response), 'UNAUTHORIZED')
  }
  const limited = { authorization: LIMITED }
  assert.equal((await call('GET', '/v2/', { headers: limited })).status, 200)
  assert.equal((await call('GET', '/v2/other/tags/list', { headers: limited })).status, 403)
  assert.equal((await call('POST', '/v2/mine/x/blobs/uploads/', { headers: limited })).status, 202)
  assert.equal((await call('DELETE', '/v2/mine/x/manifests/y', { headers: limited })).status, 403)
})

test('a mount needs the right to read the other repository', async () => {
  const digest = await pushBlob('secret/app', 'secret bytes')
  const path = `/v2/mine/app/blobs/uploads/?mount=${digest}&from=secret/app`
  assert.equal((await call('POST', path, { headers: { authorization: LIMITED } })).status, 202)
  assert.equal((await call('HEAD', `/v2/mine/app/blobs/${digest}`)).status, 404)
  assert.equal((await call('POST', path)).status, 201)
  assert.equal((await call('HEAD', `/v2/mine/app/blobs/${digest}`)).status, 200)
})

test('chunks in order; out of order and in the wrong repository they are refused', async () => {
  const location = await upload('chunks')
  const chunk = (range: string, body: string): Promise<Response> =>
    call('PATCH', location, { headers: { 'content-range': range }, body })
  assert.equal((await chunk('0-2', 'abc')).headers.get('range'), '0-2')
  assert.equal((await chunk('0-2', 'abc')).status, 416)
  assert.equal((await chunk('4-5', 'xx')).status, 416)
  assert.equal((await chunk('3-9', 'x')).status, 416)
  assert.equal((await call('GET', location.replace('chunks', 'other'))).status, 404)
  assert.equal((await call('GET', location)).headers.get('range'), '0-2')
  const digest = sha256('abcdef')
  assert.equal(
    (
      await call('PUT', `${location}?digest=${digest}`, {
        headers: { 'content-range': '3-5' },
        body: 'def',
      })
    ).status,
    201,
  )
  assert.equal(await (await call('GET', `/v2/chunks/blobs/${digest}`)).text(), 'abcdef')
  assert.equal((await call('GET', location)).status, 404)
})

test('uploads end by themselves and are bounded in number and size', async () => {
  await registry.close()
  const location = await upload('old')
  time += 2000
  assert.equal(await errorCode(await call('GET', location)), 'BLOB_UPLOAD_UNKNOWN')
  for (let i = 0; i < 5; i += 1) await upload('many')
  assert.equal((await call('POST', '/v2/many/blobs/uploads/')).status, 429)
  await registry.close()
  const big = new Uint8Array((1 << 20) + 1)
  const response = await call('PUT', `${await upload('big')}?digest=${sha256(big)}`, { body: big })
  assert.equal(response.status, 413)
  await registry.close()
  assert.deepEqual(readdirSync(join(scratch, 'store/tmp')), [])
})

test('wrong digests leave nothing behind', async () => {
  const digest = sha256('right')
  const response = await call('PUT', `${await upload('wrong')}?digest=${digest}`, { body: 'left' })
  assert.equal(response.status, 400)
  assert.equal(await errorCode(response), 'DIGEST_INVALID')
  assert.equal((await call('HEAD', `/v2/wrong/blobs/${digest}`)).status, 404)
  assert.equal(
    (await call('PUT', `${await upload('wrong')}?digest=sha256:baddigeststring`)).status,
    400,
  )
  assert.equal((await call('GET', '/v2/wrong/blobs/sha256:baddigeststring')).status, 400)
})

test('ranges of blobs', async () => {
  const path = `/v2/ranges/blobs/${await pushBlob('ranges', '0123456789')}`
  const get = async (range: string): Promise<[number, string]> => {
    const response = await call('GET', path, { headers: { range } })
    return [response.status, await response.text()]
  }
  assert.deepEqual(await get('bytes=2-4'), [206, '234'])
  assert.deepEqual(await get('bytes=8-'), [206, '89'])
  assert.deepEqual(await get('bytes=-3'), [206, '789'])
  assert.deepEqual(await get('bytes=8-100'), [206, '89'])
  assert.equal((await get('bytes=5-0'))[0], 416)
  assert.equal((await get('bytes=10-'))[0], 416)
  assert.deepEqual(await get('lines=1-2'), [200, '0123456789'])
})

test('manifests: exact bytes, checked content, subjects and referrers', async () => {
  const config = await pushBlob('m', '{}')
  const text = (more: object): string =>
    JSON.stringify(
      {
        schemaVersion: 2,
        mediaType: MANIFEST,
        config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: config, size: 2 },
        layers: [],
        ...more,
      },
      null,
      3,
    )
  const put = (reference: string, body: string, type = MANIFEST): Promise<Response> =>
    call('PUT', `/v2/m/manifests/${reference}`, { headers: { 'content-type': type }, body })
  const plain = text({})
  assert.equal((await put('v1', plain)).status, 201)
  assert.equal(await (await call('GET', '/v2/m/manifests/v1')).text(), plain)
  assert.equal((await put(sha256('else'), plain)).status, 400)
  assert.equal(
    (await put('v1', plain, 'application/vnd.docker.distribution.manifest.v2+json')).status,
    400,
  )
  assert.equal((await put('v1', plain.replace('{', '{"schemaVersion":2,'))).status, 400)
  assert.equal((await put('v1', text({ manifests: [] }))).status, 400)
  assert.equal((await put('-bad', plain)).status, 400)
  assert.equal(
    await errorCode(await put('v1', plain.replace(config, sha256('missing')))),
    'MANIFEST_BLOB_UNKNOWN',
  )
  assert.equal((await put('v1', text({ annotations: { a: 'x'.repeat(5 << 20) } }))).status, 413)

  const subject = { mediaType: MANIFEST, digest: sha256(plain), size: plain.length }
  const refers = text({ subject, artifactType: 'application/x-sbom', annotations: { k: 'v' } })
  assert.equal((await put(sha256(refers), refers)).headers.get('oci-subject'), sha256(plain))
  const answer = await call(
    'GET',
    `/v2/m/referrers/${sha256(plain)}?artifactType=application/x-sbom`,
  )
  assert.equal(answer.headers.get('oci-filters-applied'), 'artifactType')
  const list: unknown = await answer.json()
  assert.deepEqual(list, {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      {
        mediaType: MANIFEST,
        digest: sha256(refers),
        size: refers.length,
        artifactType: 'application/x-sbom',
        annotations: { k: 'v' },
      },
    ],
  })
  assert.equal((await call('GET', '/v2/m/referrers/nonsense')).status, 400)

  // What refers to something that is kept is kept too, and the rest of the push survives a collection.
  await images.collect(new Set(), 0, Date.now() + 1000)
  assert.equal((await call('GET', `/v2/m/manifests/${sha256(refers)}`)).status, 200)
  assert.equal((await call('DELETE', `/v2/m/manifests/${sha256(plain)}`)).status, 202)
  assert.equal((await call('GET', '/v2/m/manifests/v1')).status, 404)
})

test('a blob that a client asked for outlives the collections until its manifest comes', async () => {
  const digest = await sampleImage('asked')
  await images.tag('asked', 'v1', digest)
  const layer = (await images.image(digest))?.layers[0]?.digest
  assert.ok(layer !== undefined)
  await images.repositories.deleteTag('asked', 'v1')
  const isHere = async (): Promise<boolean> =>
    (await call('HEAD', `/v2/asked/blobs/${layer}`)).status === 200
  for (const asked of [true, false]) {
    time += 3_600_000
    if (asked) assert.ok(await isHere())
    await images.collect(new Set(), 60_000, time)
    assert.equal(await isHere(), asked)
  }
})

test('tags come in pages', async () => {
  const digest = await sampleImage('tags')
  for (const tag of ['b', 'a', 'C', 'd']) await images.tag('paged', tag, digest)
  const get = async (query: string): Promise<[unknown, string | null]> => {
    const response = await call('GET', `/v2/paged/tags/list${query}`)
    return [await response.json(), response.headers.get('link')]
  }
  assert.deepEqual(await get(''), [{ name: 'paged', tags: ['C', 'a', 'b', 'd'] }, null])
  assert.deepEqual(await get('?n=2'), [
    { name: 'paged', tags: ['C', 'a'] },
    '</v2/paged/tags/list?n=2&last=a>; rel="next"',
  ])
  assert.deepEqual(await get('?n=2&last=a'), [{ name: 'paged', tags: ['b', 'd'] }, null])
  assert.deepEqual(await get('?n=0'), [{ name: 'paged', tags: [] }, null])
  assert.equal((await call('GET', '/v2/dne/tags/list')).status, 404)
})

test('names that are none, and paths out of the store, are refused', async () => {
  for (const path of [
    '/v2/UPPER/tags/list',
    '/v2/a/../b/tags/list',
    '/v2/%2e%2e%2f%2e%2e/tags/list',
    '/v2/a//b/tags/list',
    '/v2/_tags/tags/list',
    '/v2/a/manifests/..%2f..%2fx',
    '/v2/a/manifests/%ff',
  ]) {
    const response = await fetch(`http://${host}${path}`, { headers: { authorization: BASIC } })
    assert.ok(response.status === 400 || response.status === 404, `${path}: ${response.status}`)
  }
})

test('our own client pulls and pushes, and what was pushed can be run', async () => {
  const digest = await sampleImage('own client')
  const name = `${host}/own/app`
  await assert.rejects(images.push(digest, `${name}:v1`), {
    code: 'REGISTRY_FAILED',
    message: /401/,
  })
  await images.push(digest, `${name}:v1`, { auth: AUTH })
  assert.equal(await images.resolve('own/app', 'v1'), digest)
  const other = await ImageStore.open({ root: join(scratch, 'other') })
  const seen: number[] = []
  assert.equal(
    await other.pull(`${name}:v1`, { auth: AUTH, progress: ({ done }) => seen.push(done) }),
    digest,
  )
  assert.ok(seen.length > 1)
  const [tree = ''] = await other.lowerDirs(digest)
  assert.equal(readFileSync(join(tree, 'etc/motd'), 'utf8'), 'own client')
  assert.equal(await other.pull(`${name}@${digest}`), digest)
  await assert.rejects(other.pull(`${name}:v2`, { auth: AUTH }), { code: 'NOT_FOUND' })
  await assert.rejects(other.pull('app:v1'), { code: 'INVALID_REQUEST', message: /registry/ })
})

// Real clients

function lacks(program: string): string | false {
  for (const folder of (process.env['PATH'] ?? '').split(':')) {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return false
    } catch {
      continue
    }
  }
  return `needs ${program}`
}

async function ok(program: string, args: readonly string[], env = {}): Promise<RunResult> {
  const { PATH = '' } = process.env
  const result = await runToEnd(program, args, {
    timeoutMs: 60_000,
    env: { PATH, HOME: scratch, ...env },
  })
  assert.equal(result.code, 0, `${program} ${args.join(' ')}: ${result.stderr}`)
  return result
}

const policy = join(scratch, 'policy.json')
writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}')

test('skopeo copies from and to us with a password', { skip: lacks('skopeo') }, async () => {
  const digest = await sampleImage('skopeo')
  await images.tag('team/skopeo', 'v1', digest)
  const layout = `oci:${join(scratch, 'layout')}:v1`
  const copy = ['--policy', policy, 'copy']
  await ok('skopeo', [
    ...copy,
    '--src-tls-verify=false',
    '--src-creds',
    'anyone:token',
    `docker://${host}/team/skopeo:v1`,
    layout,
  ])
  assert.equal(await images.importLayout(join(scratch, 'layout'), 'v1'), digest)
  await ok('skopeo', [
    ...copy,
    '--dest-tls-verify=false',
    '--dest-creds',
    'anyone:token',
    layout,
    `docker://${host}/team/copy:v2`,
  ])
  assert.equal(await images.resolve('team/copy', 'v2'), digest)
  const docker = join(scratch, 'saved.tar')
  await ok('skopeo', [...copy, layout, `docker-archive:${docker}:x:1`])
  const saved = await images.image(await images.importArchive(docker))
  assert.deepEqual(saved?.config.cmd, ['/etc/motd'])
  const refused = await runToEnd('skopeo', [
    '--policy',
    policy,
    'inspect',
    '--tls-verify=false',
    '--creds',
    'anyone:wrong',
    `docker://${host}/team/copy:v2`,
  ])
  assert.notEqual(refused.code, 0)
})

test('umoci unpacks what we make', { skip: lacks('umoci') || lacks('skopeo') }, async () => {
  await images.tag('team/umoci', 'v1', await sampleImage('umoci'))
  const layout = join(scratch, 'umoci')
  await ok('skopeo', [
    '--policy',
    policy,
    'copy',
    '--src-tls-verify=false',
    '--src-creds',
    'anyone:token',
    `docker://${host}/team/umoci:v1`,
    `oci:${layout}:v1`,
  ])
  const bundle = join(scratch, 'bundle')
  await ok('umoci', ['unpack', '--rootless', '--image', `${layout}:v1`, bundle])
  assert.equal(readFileSync(join(bundle, 'rootfs/etc/motd'), 'utf8'), 'umoci')
})

const isRoot = process.getuid?.() === 0

test(
  'podman logs in, pulls, commits nothing new and pushes',
  { skip: lacks('podman') || (!isRoot && 'needs root') },
  async () => {
    const digest = await sampleImage('podman')
    await images.tag('team/podman', 'v1', digest)
    const global = [
      '--root',
      join(scratch, 'podman'),
      '--runroot',
      join(scratch, 'podman-run'),
      '--storage-driver',
      'vfs',
    ]
    const auth = ['--authfile', join(scratch, 'auth.json')]
    const signature = ['--signature-policy', policy]
    await ok('podman', [
      ...global,
      'login',
      ...auth,
      '--tls-verify=false',
      '-u',
      'anyone',
      '-p',
      'token',
      host,
    ])
    await ok('podman', [
      ...global,
      'pull',
      ...auth,
      ...signature,
      '--tls-verify=false',
      `${host}/team/podman:v1`,
    ])
    const inspected = await ok('podman', [
      ...global,
      'image',
      'inspect',
      '--format',
      '{{.Digest}}',
      `${host}/team/podman:v1`,
    ])
    assert.equal(inspected.stdout.trim(), digest)
    await ok('podman', [
      ...global,
      'push',
      ...auth,
      ...signature,
      '--tls-verify=false',
      `${host}/team/podman:v1`,
      `${host}/team/pushed:v9`,
    ])
    const pushed = await images.resolve('team/pushed', 'v9')
    assert.ok(pushed !== null)
    const image = await images.image(pushed)
    const original = await images.image(digest)
    assert.deepEqual(image?.config.diffIds, original?.config.diffIds)
    assert.equal((await images.lowerDirs(pushed)).length, 1)
  },
)
