/** Every route, asked with every role in every scope about own and foreign places; what is right stands in small tables of its own. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { MAY } from '../../test/access-table.ts'
import { createTestApi, goodRequest } from '../../test/fakes/test-api.ts'
import type { Endpoint } from '../contract/endpoint.ts'
import { ENDPOINTS, type EndpointName } from '../contract/endpoints.ts'
import { problem } from '../contract/problem.ts'
import { EVERYTHING, PLATFORM, ROLES, type Grant, type Role } from '../model/identity.ts'

const { api, platform, identity, access } = await createTestApi()
const ending = setInterval(() => {
  for (const { id } of platform.rolloutList) platform.finish(id)
}, 5)
after(async () => {
  clearInterval(ending)
  await api.close()
})
await access.changeTeam('pay', { add: ['shop'], remove: [] })
await access.changeTeam('ops', { add: ['till'], remove: [] })

const PLACES = [
  'shop/production',
  'shop/staging',
  'till/production',
  'none/production',
  'SHOP/production',
  'sh%p/production',
  'sh_p/production',
  'shоp/production',
  'shop /production',
  '*/production',
] as const
const SHOP = ['shop/production', 'shop/staging']
const OTHERS = PLACES.filter((place) => !SHOP.includes(place))

interface Scope {
  readonly grant: Partial<Grant>
  /** Places that it reaches. */
  readonly reaches: readonly string[]
  readonly environments: readonly string[]
}

const SCOPES: Readonly<Record<string, Scope>> = {
  everything: { grant: {}, reaches: PLACES, environments: ['production', 'staging'] },
  shop: { grant: { app: 'shop' }, reaches: SHOP, environments: [] },
  till: { grant: { app: 'till' }, reaches: ['till/production'], environments: [] },
  pattern: { grant: { app: 's%' }, reaches: [], environments: [] },
  production: {
    grant: { environment: 'production' },
    reaches: ['shop/production', ...OTHERS],
    environments: ['production'],
  },
  staging: {
    grant: { environment: 'staging' },
    reaches: ['shop/staging'],
    environments: ['staging'],
  },
  pay: { grant: { team: 'pay' }, reaches: SHOP, environments: [] },
  ops: { grant: { team: 'ops' }, reaches: ['till/production'], environments: [] },
  nobodys: { grant: { team: 'gone' }, reaches: [], environments: [] },
  'shop of another team': { grant: { team: 'ops', app: 'shop' }, reaches: [], environments: [] },
  'shop in staging': {
    grant: { app: 'shop', environment: 'staging' },
    reaches: ['shop/staging'],
    environments: [],
  },
}

/** For whoever may do it anywhere. */
const SOMEWHERE: ReadonlySet<string> = new Set([
  'listApps',
  'listTokens',
  'revokeToken',
  'listTeams',
  'listBindings',
  'removeBinding',
  'listProtections',
  'listClusterAccess',
  'issueClusterToken',
  'missingContents',
  'putContent',
  'postContents',
  'saveSource',
  'listAudit',
])
/** They reach past the app of their path, if they have one. */
const EVERYWHERE: ReadonlySet<string> = new Set(['adoptObjects', 'removeManifests'])
/** Whatever comes of them would change what the others are asked about. */
const NOT_DONE: ReadonlySet<string> = new Set([
  'watchApp',
  'destroyApp',
  'removeTeam',
  'protectEnvironment',
  'unprotectEnvironment',
])

type Expected = 'answered' | 'forbidden' | 'hidden'

function expected(name: EndpointName, role: Role, scope: Scope, place: string): Expected {
  const may = MAY[name]
  if (may === 'anybody' || ['version', 'whoami', 'getSession', 'logout'].includes(name))
    return 'answered'
  const { path } = ENDPOINTS[name]
  const high = may.includes(role)
  const whole = scope === SCOPES['everything']
  if (path.includes(':app')) {
    if (!scope.reaches.includes(place)) return 'hidden'
    return high && (whole || !EVERYWHERE.has(name)) ? 'answered' : 'forbidden'
  }
  if (path.includes(':environment')) {
    const there = scope.environments.includes(place.split('/')[1] ?? '')
    return high && there ? 'answered' : 'forbidden'
  }
  return high && (whole || SOMEWHERE.has(name)) ? 'answered' : 'forbidden'
}

const NAMES = Object.keys(ENDPOINTS).filter((name): name is EndpointName => name in ENDPOINTS)

for (const [called, scope] of Object.entries(SCOPES)) {
  for (const role of ROLES) {
    test(`${role} of ${called}: every route, every place`, async () => {
      const grants = [{ ...EVERYTHING, role, ...scope.grant }]
      const name = `${role} ${called}`
      const wanted = { name, person: name, grants, expiresAt: null }
      const { token } = await identity.createToken(PLATFORM, wanted)
      for (const route of NAMES) {
        const { path }: Endpoint = ENDPOINTS[route]
        // Names that only look right are for the strongest: what is hidden does not depend on the role.
        const asked = role === 'admin' ? PLACES : PLACES.slice(0, 3)
        for (const place of path.includes(':environment') ? asked : PLACES.slice(0, 1)) {
          const right = expected(route, role, scope, place)
          if (right === 'answered' && !SHOP.includes(place)) continue
          await judge(route, token, place, right)
        }
      }
    })
  }
}

async function judge(
  route: EndpointName,
  token: string,
  place: string,
  right: Expected,
): Promise<void> {
  if (right === 'answered' && NOT_DONE.has(route)) return
  const [app = '', environment = ''] = place.split('/')
  const before = platform.calls.length
  const answer = await api.inject(goodRequest(route, token, { app, environment }))
  const text = `${route} at ${place}: ${answer.statusCode} ${answer.body.slice(0, 200)}`
  if (right === 'answered') {
    assert.ok(![401, 403].includes(answer.statusCode) || route === 'claim', text)
    assert.ok(answer.statusCode < 500, text)
    return
  }
  assert.equal(answer.statusCode, right === 'hidden' ? 404 : 403, text)
  const { code, message } = problem.parse(answer.json()).error
  assert.equal(code, right === 'hidden' ? 'NOT_FOUND' : 'FORBIDDEN', text)
  if (right === 'hidden') assert.equal(message, `there is no app ${place}`)
  assert.equal(platform.calls.length, before, text)
}

test('lists hold what the token may see, and no more', async () => {
  const seen = async (grant: Partial<Grant>): Promise<string> => {
    const name = JSON.stringify(grant)
    const { token } = await identity.createToken(PLATFORM, {
      name,
      person: null,
      grants: [{ ...EVERYTHING, ...grant }],
      expiresAt: null,
    })
    const apps = await api.inject(goodRequest('listApps', token))
    const teams = await api.inject(goodRequest('listTeams', token))
    const tokens = await api.inject(goodRequest('listTokens', token))
    return [apps, teams, tokens].map(({ body }) => body).join('\n')
  }
  const till = await seen({ app: 'till' })
  assert.doesNotMatch(till, /shop/)
  assert.match(till, /till/)
  assert.match(await seen({ app: 'shop', environment: 'production' }), /"app":"shop"/)
  assert.doesNotMatch(
    await seen({ app: 'shop', environment: 'staging' }),
    /"app":"shop","environment":"production"/,
  )
  assert.match(await seen({ actions: ['log:read'] }), /FORBIDDEN/)
})

test('nobody gives more than they have, through tokens and bindings', async () => {
  const { token } = await identity.createToken(PLATFORM, {
    name: 'team admin',
    person: 'team admin',
    grants: [{ ...EVERYTHING, team: 'pay', environment: 'staging' }],
    expiresAt: null,
  })
  const cases: readonly [object, number][] = [
    [{ role: 'developer', app: 'shop', environment: 'staging' }, 200],
    [{ role: 'admin', team: 'pay', environment: 'staging' }, 200],
    [{ role: 'viewer', app: 'shop', environment: 'production' }, 403],
    [{ role: 'viewer', app: 'till', environment: 'staging' }, 403],
    [{ role: 'viewer', environment: 'staging' }, 403],
    [{ role: 'viewer', team: 'ops', environment: 'staging' }, 403],
    [{ role: 'viewer' }, 403],
  ]
  for (const [index, [grant, status]] of cases.entries()) {
    const payload = { name: `given ${index}`, grants: [grant] }
    const made = await api.inject({ ...goodRequest('createToken', token), payload })
    assert.equal(made.statusCode, status, made.body)
    const binding = { kind: 'user', name: `u${index}`, grant }
    const bound = await api.inject({ ...goodRequest('addBinding', token), payload: binding })
    assert.equal(bound.statusCode, status, bound.body)
  }
  const grants = [{ role: 'viewer', app: 'shop', environment: 'staging' }]
  const person = { name: 'twin', person: 'twin', grants }
  const twin = await api.inject({ ...goodRequest('createToken', token), payload: person })
  assert.equal(twin.statusCode, 403, twin.body)
  const [foreign] = await identity.listTokens(PLATFORM)
  for (const id of ['none', foreign?.id ?? '']) {
    const gone = await api.inject(goodRequest('revokeToken', token, { token: id }))
    const sees = foreign?.name.startsWith('given') === true && id !== 'none'
    assert.equal(gone.statusCode, sees ? 204 : 404, gone.body)
  }
})

test('a service does not approve, whatever its role', async () => {
  const wanted = { name: 'robot', person: null, grants: [EVERYTHING], expiresAt: null }
  const { token } = await identity.createToken(PLATFORM, wanted)
  const answer = await api.inject(goodRequest('judgeRollout', token))
  assert.equal(answer.statusCode, 403)
  assert.match(answer.body, /only people do/)
})
