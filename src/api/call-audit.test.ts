import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { SECRET } from '../../test/fakes/fake-platform.ts'
import { USER } from '../../test/fakes/memory-login.ts'
import { BODIES, createTestApi, goodRequest, type TestApi } from '../../test/fakes/test-api.ts'
import { ENDPOINTS, type EndpointName } from '../contract/endpoints.ts'
import { AUDIT_RULES, type AuditEvent } from '../model/audit.ts'
import { problem } from '../contract/problem.ts'

const NAMES = Object.keys(ENDPOINTS).filter((name): name is EndpointName => name in ENDPOINTS)
const opened: TestApi[] = []
after(async () => {
  for (const { api } of opened) await api.close()
})

async function testApi(options: Parameters<typeof createTestApi>[0] = {}): Promise<TestApi> {
  const made = await createTestApi(options)
  // Whatever begins a rollout is followed to its end.
  for (const name of NAMES.keys()) made.platform.finish(`r${String(name + 1)}`)
  opened.push(made)
  return made
}

for (const name of NAMES) {
  const { action, stream } = ENDPOINTS[name]
  if (action === null) continue

  test(`${name} without a token is denied and recorded`, async () => {
    const { api, audit } = await testApi()
    const answer = await api.inject(goodRequest(name, null))
    assert.equal(answer.statusCode, 401)
    assert.deepEqual(
      audit.events.map((event) => [event.action, event.outcome, event.actor.kind]),
      [[action, 'denied', 'nobody']],
    )
  })

  if (AUDIT_RULES[action] !== 'guarded' || stream === 'upgrade') continue
  test(`${name} is not done where it cannot be recorded`, async () => {
    const { api, audit, platform, store, tokens } = await testApi()
    audit.broken = true
    const before = (await store.listTokens()).length
    const answer = await api.inject(goodRequest(name, tokens.admin))
    assert.equal(answer.statusCode, 503)
    assert.equal(problem.parse(answer.json()).error.code, 'AUDIT_UNAVAILABLE')
    assert.deepEqual(platform.calls, [])
    assert.equal((await store.listTokens()).length, before)
  })
}

test('what is recorded is recorded before it is done, with who, what and where', async () => {
  const { api, audit, tokens } = await testApi()
  const request = goodRequest('scaleApp', tokens.developer)
  await api.inject({ ...request, headers: { ...request.headers, 'user-agent': 'fairway/1' } })
  const [event] = audit.events
  assert.equal(audit.events.length, 1)
  assert.deepEqual(
    { ...event, actor: { ...event?.actor, id: null }, request: null },
    {
      actor: { kind: 'user', id: null, name: 'developer' },
      ...{ action: 'app:scale', outcome: 'allowed', app: 'shop', environment: 'production' },
      ...{ target: null, reason: null, facts: { changes: ['web=2'] } },
      ...{ from: '127.0.0.1', agent: 'fairway/1', request: null },
    },
  )
})

test('reading lists is not recorded, being refused is', async () => {
  const { api, audit, tokens } = await testApi()
  assert.equal((await api.inject(goodRequest('listApps', tokens.viewer))).statusCode, 200)
  assert.equal(audit.events.length, 0)
  assert.equal((await api.inject(goodRequest('destroyApp', tokens.viewer))).statusCode, 403)
  const [event] = audit.events
  assert.deepEqual([event?.action, event?.outcome, event?.app], ['app:destroy', 'denied', 'shop'])
  assert.match(event?.reason ?? '', /developer/)
})

test('values of the configuration are only given to whom the audit knows', async () => {
  const { api, audit, tokens } = await testApi()
  const names = await api.inject(goodRequest('getConfig', tokens.viewer))
  assert.equal(names.statusCode, 200)
  assert.equal(audit.events.length, 0)
  await api.inject(goodRequest('getConfig', tokens.developer))
  assert.deepEqual(
    audit.events.map(({ action, outcome }) => [action, outcome]),
    [['config:read', 'allowed']],
  )
  audit.broken = true
  const refused = await api.inject(goodRequest('getConfig', tokens.developer))
  assert.equal(refused.statusCode, 503)
})

test('what fails after it was allowed is recorded once more', async () => {
  const { api, audit, tokens } = await testApi()
  const request = goodRequest('revokeToken', tokens.admin, { token: 'nobody' })
  assert.equal((await api.inject(request)).statusCode, 404)
  assert.deepEqual(
    audit.events.map(({ outcome, reason, target }) => [outcome, reason, target]),
    [
      ['allowed', null, 'token nobody'],
      ['failed', 'NOT_FOUND', 'token nobody'],
    ],
  )
})

test('a refusal inside of a handler is a denial', async () => {
  const { api, audit, tokens } = await testApi()
  const request = { ...goodRequest('exportApp', tokens.viewer), query: { secrets: 'true' } }
  assert.equal((await api.inject(request)).statusCode, 403)
  assert.deepEqual(
    audit.events.map(({ outcome }) => outcome),
    ['denied'],
  )
})

test('claims are recorded, those with a wrong code as denied', async () => {
  const { api, audit, claimCode } = await createTestApiUnclaimed()
  const claim = (code: string) =>
    api.inject({ method: 'POST', url: '/v1/claim', payload: { code, name: 'ada' } })
  assert.equal((await claim('wrong')).statusCode, 401)
  assert.equal((await claim(claimCode)).statusCode, 200)
  assert.deepEqual(
    audit.events.map(({ action, outcome, facts }) => [action, outcome, facts?.['name']]),
    [
      ['server:claim', 'denied', 'ada'],
      ['server:claim', 'allowed', 'ada'],
    ],
  )
})

async function createTestApiUnclaimed(): Promise<TestApi> {
  return await testApi()
}

test('pushes and refusals of the registry are recorded, the question for a login is not', async () => {
  const { api, audit, tokens } = await testApi({
    registry: (request, response, may) => {
      const allowed = request.method === 'GET' || may('push', 'shop/production')
      response.writeHead(allowed ? 200 : 403).end('{}')
      return Promise.resolve()
    },
  })
  const ask = async (method: 'GET' | 'PUT' | 'POST', url: string, token: string | null) => {
    const authorization = token === null ? {} : { authorization: `Basic ${btoa(`any:${token}`)}` }
    return (await api.inject({ method, url, headers: authorization })).statusCode
  }
  assert.equal(await ask('GET', '/v2/', null), 401)
  assert.equal(await ask('GET', '/v2/', tokens.viewer), 200)
  assert.equal(await ask('POST', '/v2/shop/blobs/uploads/', tokens.developer), 200)
  assert.equal(audit.events.length, 0)
  assert.equal(await ask('PUT', '/v2/shop/manifests/1', tokens.developer), 200)
  assert.equal(await ask('PUT', '/v2/shop/manifests/2', tokens.viewer), 403)
  assert.equal(await ask('GET', '/v2/', 'wrong'), 401)
  assert.deepEqual(
    audit.events.map(({ action, outcome, target }) => [action, outcome, target]),
    [
      ['image:push', 'allowed', 'PUT /v2/shop/manifests/1'],
      ['image:push', 'denied', 'PUT /v2/shop/manifests/2'],
      ['image:pull', 'denied', 'GET /v2/'],
    ],
  )
})

test('a login that was recorded and then came to nothing has a second record', async () => {
  const { api, audit, login } = await testApi()
  login.redeemed = async (begins) => {
    const [session] = USER.sessions
    assert.ok(session)
    await begins(USER, session)
    throw new Error('the disk is full')
  }
  const answer = await api.inject(goodRequest('redeemLogin', null))
  assert.equal(answer.statusCode, 500)
  assert.deepEqual(
    audit.events.map(({ action, outcome, actor, reason = null }) => [
      action,
      outcome,
      actor.name,
      reason,
    ]),
    [
      ['session:login', 'allowed', 'ada', null],
      ['session:login', 'failed', 'ada', 'INTERNAL'],
    ],
  )
})

test('no value that was sent or is known gets into an event', async () => {
  const { api, audit, tokens } = await testApi()
  const secret = 'a-secret-that-nobody-may-see'
  const bodies: Partial<Record<EndpointName, unknown>> = {
    ...BODIES,
    setConfig: { changes: { KEY: secret, GONE: null } },
    runCommand: { process: null, argv: ['psql', `postgres://u:${secret}@db`], timeoutMs: 1000 },
    putTarget: { kubeconfig: `token: ${secret}`, context: null, registry: null },
    claim: { code: secret, name: 'ada' },
  }
  for (const name of NAMES) {
    if (ENDPOINTS[name].stream === 'upgrade' || name === 'watchApp') continue
    const request = goodRequest(name, tokens.admin)
    const payload = request.payload === undefined || typeof request.payload === 'string'
    await api.inject(payload ? request : { ...request, payload: bodies[name] ?? {} })
  }
  const text = JSON.stringify(audit.events)
  for (const hidden of [secret, SECRET, ...Object.values(tokens)])
    assert.ok(!text.includes(hidden), `the audit holds ${hidden.slice(0, 8)}…`)
  const set = audit.events.find(
    ({ action, facts }: AuditEvent) => action === 'config:write' && facts?.['set'] !== undefined,
  )
  assert.deepEqual(set?.facts, { set: ['KEY'], unset: ['GONE'] })
  const run = audit.events.find(({ action }: AuditEvent) => action === 'app:run')
  assert.deepEqual(run?.facts, { process: null, program: 'psql' })
})
