import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { systemClock } from '../lib/clock.ts'
import { FairwayError } from '../model/errors.ts'
import { ClusterClient, WatchExpired } from './cluster-client.ts'
import { KINDS } from './kinds.ts'

const TOKEN = 'very-secret-token'
type Handler = (request: IncomingMessage, response: ServerResponse) => void

describe('cluster client', () => {
  const answers: Handler[] = []
  const seen: IncomingMessage[] = []
  const server = createServer((request, response) => {
    seen.push(request)
    const answer = answers.length > 1 ? answers.shift() : answers[0]
    answer?.(request, response)
  })
  let client: ClusterClient
  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    client = new ClusterClient({
      connection: {
        server: `http://127.0.0.1:${String(port)}`,
        serverName: null,
        ca: null,
        insecure: false,
        certificate: null,
        key: null,
        token: () => Promise.resolve(TOKEN),
        user: 'robot',
        context: 'test',
      },
      clock: systemClock,
      random: () => 0,
      userAgent: 'fairway/1',
    })
  })
  after(async () => {
    await client.close()
    await new Promise((resolve) => server.close(resolve))
  })

  const plan = (...list: Handler[]): void => {
    answers.splice(0, answers.length, ...list)
    seen.length = 0
  }
  const json =
    (status: number, body: unknown, headers: Record<string, string> = {}): Handler =>
    (_request, response) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(JSON.stringify(body))
    }
  const name = { kind: KINDS.Deployment, namespace: 'shop--production', name: 'web-a' }
  const failure = async (status: number, body: unknown): Promise<FairwayError> => {
    plan(json(status, body))
    const error: unknown = await client.apply(name, {}).then(
      () => null,
      (thrown: unknown) => thrown,
    )
    assert.ok(error instanceof FairwayError)
    const { port } = server.address() as AddressInfo
    const shown = `${error.message} ${JSON.stringify(error.details)} ${String(error.cause)}`
    assert.ok(!shown.includes(TOKEN), String(port))
    return error
  }

  test('identifies itself, and is patient with a server that is busy or breaks off', async () => {
    const began = performance.now()
    plan(
      json(429, { message: 'too many' }, { 'retry-after': '1' }),
      json(503, { message: 'starting' }),
      (request) => request.socket.destroy(),
      json(200, { kind: 'Deployment' }),
    )
    assert.deepEqual(await client.get(name), { kind: 'Deployment' })
    assert.ok(performance.now() - began >= 1_000, 'Retry-After was heard')
    assert.equal(seen.length, 4)
    const [first] = seen.slice(0, 1)
    assert.equal(first?.headers.authorization, `Bearer ${TOKEN}`)
    assert.equal(first.headers['user-agent'], 'fairway/1')
    assert.equal(first.url, '/apis/apps/v1/namespaces/shop--production/deployments/web-a')
  })

  test('gives up after a few tries, naming the server', async () => {
    plan(json(500, { message: 'etcdserver: request timed out' }))
    await assert.rejects(client.get(name), { code: 'CLUSTER_UNREACHABLE', message: /etcdserver/ })
    assert.equal(seen.length, 5)
  })

  test('what is not there is null', async () => {
    plan(json(404, { message: 'not found' }))
    assert.equal(await client.get(name), null)
    assert.equal(await client.delete(name), false)
  })

  test('says what was refused and why, without the credentials', async () => {
    const unauthorized = await failure(401, { message: 'Unauthorized' })
    assert.equal(unauthorized.code, 'CLUSTER_UNAUTHORIZED')
    assert.match(unauthorized.message, /refuses the credentials of "robot"/)
    const forbidden = await failure(403, {
      message:
        'deployments.apps "web-a" is forbidden: User "robot" cannot patch resource "deployments" in API group "apps" in the namespace "shop--production"',
    })
    assert.equal(forbidden.code, 'CLUSTER_FORBIDDEN')
    assert.match(forbidden.message, /cannot patch resource "deployments"/)
    const quota = await failure(403, { message: 'pods "x" is forbidden: exceeded quota: small' })
    assert.equal(quota.code, 'CLUSTER_REJECTED')
    const webhook = await failure(500, { message: 'failed calling webhook "a.b": refused' })
    assert.equal(webhook.code, 'CLUSTER_REJECTED')
    assert.equal(seen.length, 1, 'a webhook is not asked again at once')
  })

  test('a conflict names the fields and whose they are', async () => {
    const error = await failure(409, {
      reason: 'Conflict',
      details: {
        causes: [
          {
            reason: 'FieldManagerConflict',
            message: 'conflict with "kubectl-edit" using apps/v1 at 2026-01-01T00:00:00Z',
            field: '.spec.replicas',
          },
          { reason: 'FieldManagerConflict', message: 'conflict with "argo"', field: '.spec.x' },
        ],
      },
    })
    assert.equal(error.code, 'CLUSTER_CONFLICT')
    assert.match(
      error.message,
      /\.spec\.replicas belongs to kubectl-edit, \.spec\.x belongs to argo/,
    )
    assert.deepEqual(error.details['conflicts'], [
      { field: '.spec.replicas', manager: 'kubectl-edit', operation: 'Update' },
      { field: '.spec.x', manager: 'argo', operation: 'Apply' },
    ])
  })

  test('lists all pages', async () => {
    plan(
      json(200, { metadata: { continue: 'next' }, items: [{ a: 1 }] }),
      json(200, { metadata: { resourceVersion: '7' }, items: [{ a: 2 }] }),
    )
    const list = await client.list(KINDS.Pod, { namespace: null, labels: 'a=b' })
    assert.deepEqual(list, { items: [{ a: 1 }, { a: 2 }], resourceVersion: '7' })
    assert.match(seen[1]?.url ?? '', /continue=next/)
    assert.match(seen[1]?.url ?? '', /labelSelector=a%3Db/)
  })

  test('a watch gives changes as they come, over pieces of any size, and says when its version is too old', async () => {
    const text = [
      { type: 'ADDED', object: { metadata: { name: 'ä' } } },
      { type: 'BOOKMARK', object: { metadata: { resourceVersion: '9' } } },
      { type: 'ERROR', object: { code: 410, message: 'too old resource version' } },
    ]
      .map((event) => `${JSON.stringify(event)}\n`)
      .join('')
    plan((_request, response) => {
      const bytes = Buffer.from(text)
      response.writeHead(200)
      for (let at = 0; at < bytes.length; at += 3) response.write(bytes.subarray(at, at + 3))
      response.end()
    })
    const types: string[] = []
    const options = { namespace: null, resourceVersion: '1', seconds: 60 }
    const signal = AbortSignal.timeout(5_000)
    await assert.rejects(async () => {
      for await (const { type } of client.watch(KINDS.Pod, options, signal)) types.push(type)
    }, WatchExpired)
    assert.deepEqual(types, ['ADDED', 'BOOKMARK'])
  })

  test('requests that nobody waits for any more end at once', async () => {
    plan(() => undefined)
    const aborting = new AbortController()
    const pending = client.get(name, aborting.signal)
    setTimeout(() => aborting.abort(new Error('enough')), 50)
    await assert.rejects(pending, /enough/)
  })
})
