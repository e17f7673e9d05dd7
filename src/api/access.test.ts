import type { InjectOptions } from 'fastify'
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { SECRET } from '../../test/fakes/fake-platform.ts'
import { BODIES, createTestApi, goodRequest, listen } from '../../test/fakes/test-api.ts'
import { MAY } from '../../test/access-table.ts'
import { ENDPOINTS, type EndpointName } from '../contract/endpoints.ts'
import type { Endpoint } from '../contract/endpoint.ts'
import { problem } from '../contract/problem.ts'
import { z } from 'zod'
import { CALLBACK_PATH, CLAIM_PATH, LOGIN_PATH } from './login-pages.ts'
import { grantOf, PLATFORM, ROLES } from '../model/identity.ts'

const NAMES = Object.keys(ENDPOINTS).filter((name): name is EndpointName => name in ENDPOINTS)
const WHO = [...ROLES, 'nobody', 'garbage', 'foreign'] as const

async function ask(name: EndpointName, who: (typeof WHO)[number], params = {}) {
  const { api, tokens, platform, identity, access, logged } = await createTestApi()
  const foreign = await createTestApi()
  const token = {
    ...tokens,
    nobody: null,
    garbage: 'fwy_000000000000_0000000000000000000000000000000000000000000',
    foreign: foreign.tokens.admin,
  }[who]
  // Streams that would go on are ended by what they wait for.
  for (const id of ['r1', 'r2']) platform.finish(id)
  await access.changeTeam('pay', { add: ['shop'], remove: [] })
  const bound = { kind: 'user', name: 'eve', grant: grantOf('viewer') } as const
  const binding = (await access.addBinding(PLATFORM, bound)).id
  if (name === 'unprotectEnvironment') await access.protect(PLATFORM, 'production', 60_000)
  const ids = { binding, token: (await identity.listTokens(PLATFORM))[1]?.id ?? '' }
  /** A stream without an end of its own is ended once it has begun. */
  const untilBegun = async (asked: InjectOptions) => {
    const ending = setInterval(() => {
      if (platform.signals.length === 0) return
      clearInterval(ending)
      void api.close()
    }, 5)
    return await api.inject(asked).finally(() => clearInterval(ending))
  }
  const request = goodRequest(name, token, { ...ids, ...params })
  const answer = await (name === 'watchApp' ? untilBegun(request) : api.inject(request))
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
        assert.equal(answer.statusCode, ROLES.some((role) => role === who) ? 403 : 401)
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
  { user: 'nobody' },
  { team: 'nobodys' },
  { binding: 'nobodys' },
]

const MADE_BY_ASKING: ReadonlySet<string> = new Set([
  'planApp',
  'deployApp',
  'setConfig',
  'environmentKey',
  'exec',
  'changeTeam',
  'protectEnvironment',
])

for (const name of NAMES) {
  for (const params of FOREIGN_ID) {
    const [key = ''] = Object.keys(params)
    if (!ENDPOINTS[name].path.includes(`:${key}`)) continue
    // Made by the first deploy; exec answers inside the WebSocket.
    if (MADE_BY_ASKING.has(name)) continue
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

test('the server has the routes of the table, the registry, the pages of a login, and no other', async () => {
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
  const pages = [`GET ${LOGIN_PATH}`, `GET ${CALLBACK_PATH}`, `GET ${CLAIM_PATH}`]
  assert.deepEqual([...found].sort(), [...expected, ...registry, ...pages].sort())
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
