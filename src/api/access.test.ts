import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { SECRET } from '../../test/fakes/fake-platform.ts'
import { BODIES, createTestApi, goodRequest, listen } from '../../test/fakes/test-api.ts'
import { ENDPOINTS, type EndpointName } from '../contract/endpoints.ts'
import type { Endpoint } from '../contract/endpoint.ts'
import { problem } from '../contract/problem.ts'
import { z } from 'zod'
import { decide } from '../identity/decide.ts'
import { ROLES, type Action } from '../model/identity.ts'

const NAMES = Object.keys(ENDPOINTS).filter((name): name is EndpointName => name in ENDPOINTS)
const WHO = [...ROLES, 'nobody', 'garbage', 'foreign'] as const

/** The table as people would check it: written out here, so that a change of `decide` or of an endpoint's action must be meant. */
const MAY: Readonly<Record<EndpointName, readonly (typeof ROLES)[number][] | 'anybody'>> = {
  health: 'anybody',
  openapi: 'anybody',
  claim: 'anybody',
  version: ['viewer', 'developer', 'admin'],
  whoami: ['viewer', 'developer', 'admin'],
  listTokens: ['admin'],
  createToken: ['admin'],
  revokeToken: ['admin'],
  listTargets: ['developer', 'admin'],
  putTarget: ['admin'],
  removeTarget: ['admin'],
  exportApp: ['viewer', 'developer', 'admin'],
  adoptObjects: ['admin'],
  applyManifests: ['admin'],
  removeManifests: ['admin'],
  checkTarget: ['developer', 'admin'],
  listNodes: ['developer', 'admin'],
  drainNode: ['admin'],
  uncordonNode: ['admin'],
  installPlatform: ['admin'],
  missingContents: ['developer', 'admin'],
  putContent: ['developer', 'admin'],
  postContents: ['developer', 'admin'],
  saveSource: ['developer', 'admin'],
  listApps: ['viewer', 'developer', 'admin'],
  getApp: ['viewer', 'developer', 'admin'],
  watchApp: ['viewer', 'developer', 'admin'],
  destroyApp: ['developer', 'admin'],
  planApp: ['developer', 'admin'],
  deployApp: ['developer', 'admin'],
  rollbackApp: ['developer', 'admin'],
  listRollouts: ['viewer', 'developer', 'admin'],
  getRollout: ['viewer', 'developer', 'admin'],
  rolloutEvents: ['viewer', 'developer', 'admin'],
  listReleases: ['viewer', 'developer', 'admin'],
  scaleApp: ['developer', 'admin'],
  getConfig: ['viewer', 'developer', 'admin'],
  setConfig: ['developer', 'admin'],
  logs: ['viewer', 'developer', 'admin'],
  runCommand: ['developer', 'admin'],
  exec: ['developer', 'admin'],
  collect: ['admin'],
}

async function ask(name: EndpointName, who: (typeof WHO)[number], params = {}) {
  const { api, tokens, platform, identity, logged } = await createTestApi()
  const foreign = await createTestApi()
  const token = {
    ...tokens,
    nobody: null,
    garbage: 'fwy_000000000000_0000000000000000000000000000000000000000000',
    foreign: foreign.tokens.admin,
  }[who]
  // Streams that would go on are ended by what they wait for.
  for (const id of ['r1', 'r2']) platform.finish(id)
  const ids = { token: (await identity.listTokens())[1]?.id ?? '' }
  const request = goodRequest(name, token, { ...ids, ...params })
  if (name === 'watchApp') setTimeout(() => void api.close(), 100)
  const answer = await api.inject(request)
  await api.close()
  return { answer, platform, logged }
}

for (const name of NAMES) {
  const endpoint: Endpoint = ENDPOINTS[name]
  const may = MAY[name]
  for (const who of WHO) {
    const allowed = may === 'anybody' || may.some((role) => role === who)
    test(`${name}: ${who} is ${allowed ? 'let in' : 'kept out'}`, async () => {
      const { answer, platform, logged } = await ask(name, who)
      if (allowed) {
        assert.notEqual(answer.statusCode, 403)
        if (name !== 'claim') assert.notEqual(answer.statusCode, 401)
        assertAnswer(name, endpoint, answer)
      } else {
        assert.equal(answer.statusCode, who === 'viewer' || who === 'developer' ? 403 : 401)
        problem.parse(answer.json())
        assert.deepEqual(platform.calls, [])
      }
      if (name !== 'getConfig') assert.ok(!answer.body.includes(SECRET))
      assert.ok(!logged.join('\n').includes(SECRET))
    })
  }
}

function assertAnswer(
  name: EndpointName,
  { response, stream }: Endpoint,
  answer: { statusCode: number; body: string },
): void {
  // The code of the fixture is wrong, and a plain request is no WebSocket.
  const expected = name === 'claim' ? 401 : name === 'exec' ? 400 : response === null ? 204 : 200
  assert.equal(answer.statusCode, expected, answer.body)
  if (expected >= 400) return
  if (response === null) return
  const lines =
    stream === 'ndjson' ? answer.body.split('\n').filter((line) => line !== '') : [answer.body]
  assert.ok(lines.length > 0)
  for (const line of lines) response.parse(JSON.parse(line))
}

const FOREIGN_ID = [
  { app: 'other' },
  { environment: 'staging' },
  { rollout: 'r99' },
  { instance: 'web-9-zzz' },
  { token: 'nobodys' },
]

for (const name of NAMES) {
  for (const params of FOREIGN_ID) {
    const [key = ''] = Object.keys(params)
    if (!ENDPOINTS[name].path.includes(`:${key}`)) continue
    // Made by the first deploy; exec answers inside the WebSocket.
    if (['planApp', 'deployApp', 'setConfig', 'exec'].includes(name)) continue
    test(`${name}: an unknown ${key} is not found`, async () => {
      const { answer } = await ask(name, 'admin', params)
      assert.equal(answer.statusCode, 404, answer.body)
      assert.equal(problem.parse(answer.json()).error.code, 'NOT_FOUND')
    })
    test(`${name}: a malformed ${key} is refused`, async () => {
      for (const bad of ['A b', '..', '-', 'x'.repeat(150), 'ü', '%00', '__proto__']) {
        const { answer } = await ask(name, 'admin', { [key]: bad })
        assert.ok([400, 404].includes(answer.statusCode), `${bad}: ${answer.statusCode}`)
      }
    })
  }
}

test('a viewer sees the names of configuration, a developer the values', async () => {
  const viewer = (await ask('getConfig', 'viewer')).answer
  assert.deepEqual(viewer.json(), { version: 1, names: ['KEY'], values: null })
  const developer = (await ask('getConfig', 'developer')).answer
  assert.deepEqual(developer.json(), { version: 1, names: ['KEY'], values: { KEY: SECRET } })
})

test('the server has the routes of the table, the registry, and no other', async () => {
  const { api } = await createTestApi({ registry: () => Promise.resolve() })
  after(() => api.close())
  const found = new Set<string>()
  await api.ready()
  for (const line of routeLines(api.printRoutes({ commonPrefix: false }))) found.add(line)
  const expected = Object.values(ENDPOINTS).map(({ method, path }) => `${method} ${path}`)
  const registry = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'].flatMap((method) => [
    `${method} /v2`,
    `${method} /v2*`,
  ])
  assert.deepEqual([...found].sort(), [...expected, ...registry].sort())
})

/** Paths of `printRoutes`, whose lines are `├── /v1/health (GET)` nested by parts of the path. */
function routeLines(tree: string): string[] {
  const parents: string[] = []
  const found: string[] = []
  for (const line of tree.split('\n')) {
    const match = /^((?:│ {3}| {4})*)[├└]── (\S*)(?: \(([A-Z, ]+)\))?$/.exec(line)
    if (match === null) continue
    const depth = (match[1] ?? '').length / 4
    const path = `${depth === 0 ? '' : (parents[depth - 1] ?? '')}${match[2] ?? ''}`
    parents[depth] = path
    for (const method of match[3]?.split(', ') ?? []) found.push(`${method} ${path}`)
  }
  return found
}

test('decide denies what it does not know', () => {
  const subject = { id: 'x', name: 'x', role: 'admin' as const }
  assert.equal(decide(null, 'self:read', { app: null }, null).allowed, false)
  const made = z.custom<Action>().parse('app:everything')
  assert.equal(decide(subject, made, { app: null }, null).allowed, false)
  const proto = z.custom<Action>().parse('constructor')
  assert.equal(decide(subject, proto, { app: null }, null).allowed, false)
})

test('every body of the fixture belongs to an endpoint that takes one', () => {
  for (const name of NAMES) {
    assert.equal(ENDPOINTS[name].body instanceof z.ZodType, name in BODIES, name)
  }
})

test('the server refuses before it reads the body', async () => {
  const { api } = await createTestApi()
  after(() => api.close())
  const port = await listen(api)
  // Announces a body that never comes: only an answer that does not wait for it can arrive.
  const { connect } = await import('node:net')
  const socket = connect(port, '127.0.0.1')
  socket.write(
    'POST /v1/sources HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n',
  )
  const [chunk] = await new Promise<Buffer[]>((resolve) =>
    socket.once('data', (...all) => resolve(all)),
  )
  socket.destroy()
  assert.match(String(chunk), /^HTTP\/1\.1 401 /)
})
