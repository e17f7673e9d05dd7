/** What must not work: answers that are not the provider's, callbacks of others, codes twice. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { after, before, beforeEach, test } from 'node:test'
import { SignJWT, UnsecuredJWT, type JWTPayload } from 'jose'
import { CLIENT_ID, OpenIdServer } from '../fakes/openid-server.ts'
import { openLoginBed, type LoginBed } from '../login-bed.ts'
import { linkOf, ScriptedBrowser } from '../scripted-browser.ts'

let provider: OpenIdServer
let bed: LoginBed

before(async () => {
  bed = await openLoginBed({
    changes: { limits: { ms: 5000, bytes: 100_000 } },
    provider: async (redirectUri) => {
      provider = await OpenIdServer.start(redirectUri)
      const { issuer, clientSecret } = provider
      return { issuer, clientSecret, clientId: CLIENT_ID }
    },
  })
})
beforeEach(() => {
  provider.mood = null
  // A minute passes: limits per address begin anew.
  bed.later(61_000)
})
after(async () => {
  await bed.close()
  await provider.stop()
})

interface Attempt {
  readonly browser: ScriptedBrowser
  readonly id: string
  readonly verifier: string
  readonly state: string
  readonly nonce: string
}

async function post(path: string, body: unknown): Promise<{ status: number; text: string }> {
  const response = await fetch(`${bed.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  return { status: response.status, text: await response.text() }
}

/** A login whose browser stands before the provider. */
async function attempt(): Promise<Attempt> {
  const verifier = randomBytes(32).toString('base64url')
  const challenge = createHash('sha256').update(verifier).digest('base64url')
  const way = { kind: 'browser', port: 40_000, state: 's'.repeat(43) }
  const begun = await post('/v1/logins', { way, challenge, client: 'ada@laptop' })
  const { id, url } = JSON.parse(begun.text) as { id: string; url: string }
  const browser = new ScriptedBrowser()
  browser.stopAt = (next) => next.startsWith('http://127.0.0.1:40000/')
  const link = new URL(linkOf(await browser.open(url)))
  const state = link.searchParams.get('state') ?? ''
  return { browser, id, verifier, state, nonce: link.searchParams.get('nonce') ?? '' }
}

function callback(query: Readonly<Record<string, string>>): string {
  return `${bed.url}/oidc/callback?${new URLSearchParams({ iss: provider.issuer, ...query }).toString()}`
}

/** Comes back from the provider with a code; returns where the browser is sent, if anywhere. */
async function comeBack({ browser, state }: Pick<Attempt, 'browser' | 'state'>, query = {}) {
  const page = await browser.open(callback({ code: 'any', state, ...query }))
  const location = page.headers.get('location')
  return { page, target: location === null ? null : new URL(location) }
}

async function redeem({ id, verifier }: Attempt, code: string | null) {
  return await post(`/v1/logins/${id}/session`, { verifier, code })
}

/** The token endpoint answers this; everything else is the provider's. */
function tokenEndpoint(answer: (response: ServerResponse) => void): void {
  provider.mood = (request, response) => {
    if (request.url !== '/token') return false
    request.resume()
    answer(response)
    return true
  }
}

function answerJson(idToken: string | null): void {
  tokenEndpoint((response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const tokens = { access_token: 'a', refresh_token: 'r', token_type: 'Bearer', expires_in: 60 }
    response.end(JSON.stringify(idToken === null ? tokens : { ...tokens, id_token: idToken }))
  })
}

function claims(nonce: string, changes: JWTPayload = {}): JWTPayload {
  const now = Math.floor(Date.now() / 1000)
  const whole = { iss: provider.issuer, aud: CLIENT_ID, sub: 'mallory', nonce, groups: ['admins'] }
  return { ...whole, iat: now, exp: now + 300, ...changes }
}

async function signed(payload: JWTPayload): Promise<string> {
  const { kid, key } = provider
  return await new SignJWT(payload).setProtectedHeader({ alg: 'RS256', kid }).sign(key)
}

test('a right answer logs in: the attacks below fail for their own reason', async () => {
  const one = await attempt()
  answerJson(await signed(claims(one.nonce)))
  const { target } = await comeBack(one)
  assert.equal(target?.origin, 'http://127.0.0.1:40000')
  const redeemed = await redeem(one, target.searchParams.get('code') ?? null)
  assert.equal(redeemed.status, 200, redeemed.text)
  assert.match(redeemed.text, /"token":"fws_/)
})

const WRONG_TOKENS: Readonly<Record<string, (nonce: string) => Promise<string | null> | string>> = {
  'no signature (alg none)': (nonce) => new UnsecuredJWT(claims(nonce)).encode(),
  'a signature by the client secret (HS256)': (nonce) =>
    new SignJWT(claims(nonce))
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from(provider.clientSecret)),
  'a key of somebody else under the same name': async (nonce) => {
    const other = await OpenIdServer.start(`${bed.url}/oidc/callback`)
    await other.stop()
    const header = { alg: 'RS256', kid: provider.kid }
    return await new SignJWT(claims(nonce)).setProtectedHeader(header).sign(other.key)
  },
  'another audience': (nonce) => signed(claims(nonce, { aud: 'other' })),
  'several audiences and another party': (nonce) =>
    signed(claims(nonce, { aud: [CLIENT_ID, 'other'], azp: 'other' })),
  'another issuer': (nonce) => signed(claims(nonce, { iss: 'https://elsewhere.example' })),
  'a time that is over': (nonce) =>
    signed(claims(nonce, { iat: 1_700_000_000, exp: 1_700_000_300 })),
  'another nonce': () => signed(claims('n'.repeat(43))),
  'no nonce': () => signed({ ...claims(''), nonce: undefined }),
  'no subject': (nonce) => {
    const rest = Object.entries(claims(nonce)).filter(([name]) => name !== 'sub')
    return signed(Object.fromEntries(rest))
  },
  nothing: () => Promise.resolve(null),
  'text that is no token': () => 'e30.e30.e30',
}

for (const [name, make] of Object.entries(WRONG_TOKENS)) {
  test(`an ID token with ${name} is refused`, async () => {
    const one = await attempt()
    answerJson(await make(one.nonce))
    const { target } = await comeBack(one)
    assert.equal(target?.searchParams.get('error'), 'wrong')
    assert.equal(target.searchParams.get('code'), null)
    const redeemed = await redeem(one, null)
    assert.equal(redeemed.status, 403, redeemed.text)
    assert.match(redeemed.text, /LOGIN_REFUSED/)
  })
}

test('clocks may differ by a minute', async () => {
  const now = Math.floor(Date.now() / 1000)
  for (const [skew, ends] of [
    [-330, false],
    [-390, true],
  ] as const) {
    const one = await attempt()
    answerJson(await signed(claims(one.nonce, { iat: now + skew, exp: now + skew + 300 })))
    const { target } = await comeBack(one)
    assert.equal(target?.searchParams.get('code') === null, ends, String(skew))
  }
})

const MOODS: Readonly<Record<string, (response: ServerResponse) => void>> = {
  'an error of its own': (response) => {
    response.writeHead(500)
    response.end('{')
  },
  'a web page': (response) => {
    response.writeHead(200, { 'content-type': 'text/html' })
    response.end('<h1>Welcome to this hotel</h1>')
  },
  'half of an answer': (response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
    response.write('{"access_token":')
    response.destroy()
  },
  'bytes without end': (response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(Buffer.alloc(200_000, 0x20))
  },
  nothing: () => undefined,
  'a redirect': (response) => {
    response.writeHead(302, { location: 'http://127.0.0.1:1/' })
    response.end()
  },
}

for (const [name, mood] of Object.entries(MOODS)) {
  test(`a provider that answers with ${name} logs nobody in, in bounded time`, async () => {
    const one = await attempt()
    tokenEndpoint(mood)
    const { target } = await comeBack(one)
    assert.match(target?.searchParams.get('error') ?? '', /^(down|wrong)$/)
    assert.ok([403, 503].includes((await redeem(one, null)).status))
  })
}

test('who only has URLs gets nothing: no cookie, another browser, another state, another issuer', async () => {
  const [mine, theirs] = [await attempt(), await attempt()]
  answerJson(await signed(claims(mine.nonce)))
  const stranger = new ScriptedBrowser()
  for (const [browser, query] of [
    [stranger, { state: mine.state }],
    [theirs.browser, { state: mine.state }],
    [mine.browser, { state: theirs.state }],
    [mine.browser, { state: `${mine.state.slice(0, -1)}-` }],
    [mine.browser, { state: '' }],
  ] as const) {
    const { page, target } = await comeBack({ browser, ...query })
    assert.equal(target, null)
    assert.equal(page.status, 403)
    assert.match(page.html, /Not logged in/)
  }
  const twice = await mine.browser.open(`${callback({ code: 'a', state: mine.state })}&state=b`)
  assert.equal(twice.status, 403)
  // Mix-up: the answer of another provider (RFC 9207).
  const { target } = await comeBack(mine, { iss: 'https://elsewhere.example' })
  assert.equal(target?.searchParams.get('error'), 'wrong')
})

test('a callback counts once, and so does a code; without the verifier it is worth nothing', async () => {
  const one = await attempt()
  answerJson(await signed(claims(one.nonce)))
  const { target } = await comeBack(one)
  const code = target?.searchParams.get('code') ?? ''
  assert.equal((await comeBack(one)).page.status, 403)
  const other = { ...one, verifier: 'v'.repeat(43) }
  assert.equal((await redeem(other, code)).status, 403)
  assert.equal((await redeem(one, code)).status, 200)
  assert.equal((await redeem(one, code)).status, 403)
  assert.equal((await fetch(`${bed.url}/oidc/login/${one.id}`)).status, 403)
})

test('a wrong code ends the login, a late one too', async () => {
  for (const late of [false, true]) {
    const one = await attempt()
    answerJson(await signed(claims(one.nonce)))
    const { target } = await comeBack(one)
    const code = target?.searchParams.get('code') ?? ''
    if (late) bed.later(60_000)
    else assert.equal((await redeem(one, 'x'.repeat(43))).status, 403)
    assert.equal((await redeem(one, code)).status, 403)
  }
})

test('a second visit of the page ends what the first began: a cookie cannot be planted', async () => {
  const one = await attempt()
  answerJson(await signed(claims(one.nonce)))
  const victim = new ScriptedBrowser()
  await victim.open(`${bed.url}/oidc/login/${one.id}`)
  assert.equal((await comeBack(one)).page.status, 403)
  assert.equal((await comeBack({ browser: victim, state: one.state })).page.status, 403)
})

test('another person does not take the name of somebody who was here before', async () => {
  const names = []
  for (const sub of ['first', 'second']) {
    const one = await attempt()
    answerJson(await signed(claims(one.nonce, { sub, preferred_username: 'grace' })))
    const { target } = await comeBack(one)
    names.push(await redeem(one, target?.searchParams.get('code') ?? null))
  }
  assert.deepEqual(
    names.map(({ status }) => status),
    [200, 403],
  )
  assert.match(names[1]?.text ?? '', /another person logged in as grace before/)
})

test('many logins from one address are slowed down', async () => {
  const way = { kind: 'browser', port: 40_000, state: 's'.repeat(43) }
  const body = { way, challenge: 'c'.repeat(43), client: 'ada@laptop' }
  const all = await Promise.all(Array.from({ length: 40 }, () => post('/v1/logins', body)))
  assert.equal(all.filter(({ status }) => status === 200).length, 30)
  assert.equal(all.filter(({ status }) => status === 429).length, 10)
})
