import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import type { Admission } from '../model/kube-access.ts'
import { parseTargetName } from '../model/names.ts'
import { LocalAuthority } from '../router/local-authority.ts'
import { createAccessServer } from './access-server.ts'

const SECRET = 'of-the-api-server'
const REVIEW = '/clusters/prod/token-review'

let folder: string
let ca: string
let port = 0
let close: () => Promise<void>

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fairway-access-server-'))
  const authority = await LocalAuthority.open(folder, () => systemClock.now())
  ca = authority.certificatePem
  const unasked = (): Promise<never> => Promise.reject(new Error('nobody goes through'))
  const listening = createAccessServer({
    // What decides is tested with a real cluster; here it is who is told what.
    gate: {
      discovery: () => ({ issuer: 'https://fairway.example' }),
      keys: () => Promise.resolve({ keys: [] }),
      admit: (token, target) => Promise.resolve(token === 'of-ann' ? ann(target) : null),
      isWebhook: (secret, target) => Promise.resolve(secret === SECRET && target === 'prod'),
      way: () => Promise.resolve('webhook'),
      door: unasked,
    },
    tls: await authority.files('localhost'),
    clock: systemClock,
    log: silentLog,
    record: () => undefined,
  })
  close = listening.close
  listening.server.listen(0, '127.0.0.1')
  await once(listening.server, 'listening')
  const address: AddressInfo | string | null = listening.server.address()
  port = typeof address === 'object' && address !== null ? address.port : 0
})
after(async () => {
  await close()
  await rm(folder, { recursive: true, force: true })
})

function ann(target: string): Admission {
  const user = { name: 'fairway:user:ann', groups: ['fairway:shop--production:viewer'] }
  const subject = { id: 'ann', name: 'ann', kind: 'user', groups: [], grants: [] } as const
  return { target: parseTargetName(target), user, subject, again: () => Promise.resolve(user) }
}

interface Answer {
  readonly status: number
  readonly body: unknown
}

function ask(path: string, secret: string | null, body: object | null): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: '127.0.0.1',
        servername: 'localhost',
        port,
        path,
        method: body === null ? 'GET' : 'POST',
        ca,
        agent: false,
        headers: secret === null ? {} : { authorization: `Bearer ${secret}` },
      },
      (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => (text += chunk.toString()))
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as unknown }),
        )
      },
    )
    asked.on('error', reject)
    asked.end(body === null ? undefined : JSON.stringify(body))
  })
}

function review(token: string, version = 'v1'): object {
  return {
    kind: 'TokenReview',
    apiVersion: `authentication.k8s.io/${version}`,
    metadata: { creationTimestamp: null },
    spec: { token, audiences: ['https://kubernetes.default.svc.cluster.local'] },
    status: { user: {} },
  }
}

test('an API server is told whose a token is, asked as it asks: in its version, with its time limit', async () => {
  for (const version of ['v1', 'v1beta1']) {
    const { status, body } = await ask(`${REVIEW}?timeout=30s`, SECRET, review('of-ann', version))
    assert.equal(status, 200)
    assert.deepEqual(body, {
      apiVersion: `authentication.k8s.io/${version}`,
      kind: 'TokenReview',
      status: {
        authenticated: true,
        user: { username: 'fairway:user:ann', groups: ['fairway:shop--production:viewer'] },
      },
    })
  }
  const { status, body } = await ask(`${REVIEW}?timeout=30s`, SECRET, review('of-nobody'))
  assert.equal(status, 200)
  assert.deepEqual(body, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    status: { authenticated: false },
  })
})

test('nobody but the API server of that cluster is told anything', async () => {
  for (const [path, secret] of [
    [REVIEW, null],
    [REVIEW, 'guessed'],
    [REVIEW, 'of-ann'],
    ['/clusters/staging/token-review', SECRET],
  ] as const)
    assert.equal((await ask(path, secret, review('of-ann'))).status, 401, `${path} ${secret ?? ''}`)
})

test('what is no review is refused', async () => {
  for (const body of [{}, { ...review('of-ann'), kind: 'Pod' }, { ...review('x'), spec: {} }])
    assert.equal((await ask(REVIEW, SECRET, body)).status, 400)
  assert.equal((await ask(REVIEW, SECRET, review('x'.repeat(70_000)))).status, 413)
})

test('the issuer describes itself', async () => {
  const described = await ask('/.well-known/openid-configuration', null, null)
  assert.deepEqual(described, { status: 200, body: { issuer: 'https://fairway.example' } })
  assert.deepEqual(await ask('/keys', null, null), { status: 200, body: { keys: [] } })
})
