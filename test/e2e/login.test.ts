/** Login from the command line at a real OpenID provider, by a browser of which only the window is missing. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { z } from 'zod'
import { readConfig } from '../../src/cli/user-config.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { CLIENT_ID, OpenIdServer } from '../fakes/openid-server.ts'
import { openLoginBed, type LoginBed } from '../login-bed.ts'
import { linkOf, ScriptedBrowser, type Page } from '../scripted-browser.ts'

let provider: OpenIdServer
let bed: LoginBed

before(async () => {
  bed = await openLoginBed({
    provider: async (redirectUri) => {
      provider = await OpenIdServer.start(redirectUri)
      const { issuer, clientSecret } = provider
      return { issuer, clientSecret, clientId: CLIENT_ID }
    },
  })
  provider.people.set('ada', ['/team-a', 'ops'])
  provider.people.set('bob', [])
})
after(async () => {
  await bed.close()
  await provider.stop()
})

/** From the provider's first page to the end. */
async function signIn(browser: ScriptedBrowser, page: Page, name: string): Promise<Page> {
  const consent = await browser.submit(page, { login: name, password: 'any' })
  return await browser.submit(consent)
}

/** What `fairway login` opens: our page, a click, the provider, and back to the command line. */
async function browse(url: string, name: string): Promise<void> {
  const browser = new ScriptedBrowser()
  const page = await browser.open(url)
  assert.equal(page.status, 200, page.html)
  const end = await signIn(browser, await browser.follow(page), name)
  assert.match(end.html, /Logged in/)
}

async function login(name: string, home: string): Promise<string> {
  await loginOutput(name, home)
  return tokenOf(home)
}

async function loginOutput(name: string, home: string, options = ''): Promise<string> {
  let browsing = Promise.resolve()
  const openBrowser = (url: string): Promise<boolean> => {
    browsing = browse(url, name)
    return Promise.resolve(true)
  }
  const ran = await bed.fairway(`login ${bed.url}${options}`, { home, programs: { openBrowser } })
  await browsing
  assert.equal(ran.code, 0, ran.err)
  if (options === '') assert.match(ran.out, new RegExp(`Logged in to .* as ${name}`))
  return ran.out
}

function tokenOf(home: string): string {
  const config = readConfig(`${bed.folder}/${home}/.config/fairway/config.json`)
  return config.servers[bed.url]?.token ?? ''
}

async function status(token: string): Promise<number> {
  const response = await fetch(`${bed.url}/v1/whoami`, {
    headers: { authorization: `Bearer ${token}` },
  })
  await response.body?.cancel()
  return response.status
}

test('a person logs in by browser, has groups and no role, and logs out', async () => {
  const token = await login('ada', 'laptop')
  assert.match(token, /^fws_/)
  const who = await bed.fairway('whoami')
  assert.match(who.out, /ada at/)
  assert.match(who.out, /groups {2}ops, team-a/)
  assert.match(who.out, /nothing yet: no role is granted to ada/)
  assert.equal((await bed.fairway('gc')).code, 3)
  const out = await bed.fairway('logout')
  assert.equal(out.code, 0, out.err)
  assert.equal(tokenOf('laptop'), '')
  assert.equal(await status(token), 401)
})

test('who has no role is told who they are, which groups, and what an admin would run; it works', async () => {
  provider.people.set('new', ['/team-n', "night's watch"])
  const said = await loginOutput('new', 'new')
  assert.match(said, /nothing yet: no role is granted to new, .* groups: night's watch, team-n/)
  const commands = [...said.matchAll(/^ {2}fairway (access grant .*)$/gm)].map(([, line]) => line)
  assert.deepEqual(commands, [
    "access grant --group 'night'\\''s watch' --role developer",
    'access grant --group team-n --role developer',
    'access grant --user new --role developer',
  ])
  const root = { home: 'root' }
  assert.equal((await bed.fairway(`login ${bed.url} --token ${bed.admin}`, root)).code, 0)
  const granted = await bed.fairway(`${commands[1] ?? ''} --app shop --json`, root)
  assert.equal(granted.code, 0, granted.err)
  assert.match((await bed.fairway('whoami', { home: 'new' })).out, /may {5}developer on shop/)
  assert.doesNotMatch(await loginOutput('new', 'new'), /nothing yet/)
  const told = z.object({ name: z.literal('new'), grants: z.array(z.unknown()).length(1) })
  told.parse(JSON.parse(await loginOutput('new', 'new', ' --json')))
})

test('a group may be granted to as Keycloak writes it, and twice is once too often', async () => {
  const root = { home: 'root' }
  const grant = 'access grant --role viewer --app till --group'
  assert.equal((await bed.fairway(`${grant} /team-k`, root)).code, 0)
  assert.match((await bed.fairway('access list', root)).out, /group team-k +viewer on till/)
  assert.equal((await bed.fairway(`${grant} team-k`, root)).code, 5)
  assert.equal((await bed.fairway(`${grant} /`, root)).code, 2)
})

test('by a code where there is no browser', async () => {
  const browser = new ScriptedBrowser()
  let signing: Promise<unknown> | null = null
  const sleep = async (ms: number): Promise<void> => {
    // The person types the code in while the command line waits for the first time.
    signing ??= (async () => {
      const [, url = ''] = /any device: (\S+)/.exec(io.err) ?? []
      const confirm = await browser.submit(await browser.open(url))
      await signIn(browser, await browser.submit(confirm), 'ada')
    })()
    await signing
    await systemClock.sleep(Math.min(ms, 5500))
  }
  const { TestIo, testPrograms } = await import('../fakes/cli-io.ts')
  const { main } = await import('../../src/cli/main.ts')
  const io = new TestIo({ home: `${bed.folder}/server`, cwd: bed.folder })
  io.clock = { ...systemClock, sleep }
  io.stdin.end()
  const code = await main(['login', bed.url, '--device'], io, testPrograms())
  assert.equal(code, 0, io.err)
  assert.equal(await status(tokenOf('server')), 200)
})

test('who is removed at the provider is gone after the next check, in every session', async () => {
  provider.people.set('eve', ['team-a'])
  const token = await login('eve', 'eve')
  assert.equal(await status(token), 200)
  provider.people.delete('eve')
  // In the middle: the server's clock also goes on by itself.
  bed.later(20_000)
  assert.equal(await status(token), 200)
  bed.later(20_000)
  assert.equal(await status(token), 401)
  assert.equal(await status(token), 401)
})

test('other groups at the provider are other groups here after the next check', async () => {
  const token = await login('bob', 'bob')
  provider.people.set('bob', ['team-b'])
  bed.later(40_000)
  assert.equal(await status(token), 200)
  assert.match((await bed.fairway('whoami', { home: 'bob' })).out, /team-b/)
})

test('requests at the same time use a refresh token once', async () => {
  const token = await login('bob', 'bob')
  const before = provider.asked.get('/token') ?? 0
  bed.later(40_000)
  const all = await Promise.all(Array.from({ length: 20 }, () => status(token)))
  assert.deepEqual(new Set(all), new Set([200]))
  assert.equal((provider.asked.get('/token') ?? 0) - before, 1)
})

test('with new keys at the provider sessions go on and people log in', async () => {
  const token = await login('bob', 'bob')
  provider.rotateKeys()
  bed.later(40_000)
  assert.equal(await status(token), 200)
  await systemClock.sleep(1100)
  provider.rotateKeys()
  await login('ada', 'laptop')
})

test('while the provider is away sessions go on, say so, and end after a bounded time', async () => {
  const token = await login('bob', 'bob')
  await provider.stop()
  bed.later(40_000)
  assert.equal(await status(token), 200)
  const who = await bed.fairway('whoami', { home: 'bob' })
  assert.equal(who.code, 0, who.err)
  assert.match(who.err, /warning: the identity provider has not confirmed this session since/)
  const refused = await bed.fairway(`login ${bed.url} --device`, { home: 'new' })
  assert.equal(refused.code, 8, refused.err)
  assert.match(refused.err, /no answer from 127\.0\.0\.1/)
  bed.later(600_000)
  assert.equal(await status(token), 401)
  await provider.resume()
  bed.later(20_000)
  assert.equal(await status(token), 200)
  assert.equal((await bed.fairway('whoami', { home: 'bob' })).err, '')
})

test('an admin sees people and ends their sessions', async () => {
  const token = await login('ada', 'laptop')
  const env = { home: 'root' }
  assert.equal((await bed.fairway(`login ${bed.url} --token ${bed.admin}`, env)).code, 0)
  assert.match((await bed.fairway('users list', env)).out, /ada +ops team-a/)
  const ended = await bed.fairway('users end ada', env)
  assert.match(ended.out, /Ended \d+ sessions? of ada/)
  assert.equal(await status(token), 401)
  assert.equal((await bed.fairway('users end nobody', env)).code, 4)
  assert.equal((await bed.fairway('users remove ada', env)).code, 0)
  assert.doesNotMatch((await bed.fairway('users list', env)).out, /ada/)
})

test('logins, refusals, logouts and ended sessions are in the audit, with who and why', async () => {
  provider.people.set('kim', ['team-a'])
  const from = bed.events.length
  const told = () =>
    bed.events
      .slice(from)
      .filter(({ action }) => action.startsWith('session:'))
      .map(({ action, outcome, actor, reason = null, facts = {} }) => {
        const who = actor.kind === 'system' ? facts['user'] : actor.name
        return [action, outcome, who, reason]
      })
  await login('kim', 'kim')
  assert.equal((await bed.fairway('logout', { home: 'kim' })).code, 0)
  const removed = await login('kim', 'kim')
  provider.people.delete('kim')
  bed.later(40_000)
  assert.equal(await status(removed), 401)
  provider.people.set('kim', ['team-a'])
  const unused = await login('kim', 'kim')
  bed.later(43_200_000)
  assert.equal(await status(unused), 401)
  await login('kim', 'kim')
  assert.equal((await bed.fairway('users end kim', { home: 'root' })).code, 0)
  const wrong = await fetch(`${bed.url}/v1/logins/nothing/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ verifier: 'v'.repeat(43), code: null }),
  })
  assert.equal(wrong.status, 403)
  const astray = await fetch(`${bed.url}/oidc/callback?code=a&state=b`)
  assert.equal(astray.status, 403)
  const unknown = 'this login is unknown, used or expired'
  assert.deepEqual(told(), [
    ['session:login', 'allowed', 'kim', null],
    ['session:logout', 'allowed', 'kim', null],
    ['session:login', 'allowed', 'kim', null],
    ['session:ended', 'done', 'kim', 'the identity provider refused it'],
    ['session:login', 'allowed', 'kim', null],
    ['session:ended', 'done', 'kim', 'nobody used it'],
    ['session:login', 'allowed', 'kim', null],
    ['session:ended', 'done', 'kim', 'an admin ended it'],
    ['session:login', 'denied', 'nobody', unknown],
    ['session:login', 'denied', 'nobody', unknown],
  ])
  const [first] = bed.events.slice(from)
  assert.match(first?.target ?? '', /^session \w{12}$/)
  assert.deepEqual(first?.facts?.['groups'], ['team-a'])
  assert.equal(first.from, '127.0.0.1')
  const text = JSON.stringify(bed.events)
  assert.ok(!text.includes(removed.split('_')[2] ?? '-'))
})

test('a login that cannot be recorded gives nobody a session', async () => {
  const tried = async (name: string) => {
    let browsing = Promise.resolve()
    const openBrowser = (url: string): Promise<boolean> => {
      browsing = browse(url, name)
      return Promise.resolve(true)
    }
    const ran = await bed.fairway(`login ${bed.url}`, { home: name, programs: { openBrowser } })
    await browsing
    return ran
  }
  provider.people.set('lou', [])
  bed.keepAudit(false)
  const refused = await tried('lou')
  bed.keepAudit(true)
  assert.equal(refused.code, 8, refused.err)
  assert.match(refused.err, /session:login cannot be recorded/)
  const listed = await bed.fairway('users list --json', { home: 'root' })
  const { users } = z
    .object({ users: z.array(z.object({ name: z.string(), sessions: z.array(z.unknown()) })) })
    .parse(JSON.parse(listed.out))
  assert.deepEqual(users.find(({ name }) => name === 'lou')?.sessions, [])
  assert.equal((await tried('lou')).code, 0)
})

test('a claim link that is opened in a browser says what it is for; no page has a script', async () => {
  const claim = await fetch(`${bed.url}/claim`)
  const refused = await fetch(`${bed.url}/oidc/login/${'a'.repeat(16)}`)
  assert.deepEqual([claim.status, refused.status], [200, 403])
  const [claimPage, refusedPage] = [await claim.text(), await refused.text()]
  assert.match(claimPage, /<code>fairway login &#39;ADDRESS&#39;<\/code>/)
  assert.match(refusedPage, /Begin again with <code>fairway login<\/code>/)
  for (const { headers } of [claim, refused]) {
    const policy = headers.get('content-security-policy') ?? ''
    assert.match(policy, /^default-src 'none'; style-src 'sha256-[^']+'; /)
    assert.equal(headers.get('cache-control'), 'no-store')
  }
  assert.doesNotMatch(claimPage + refusedPage, /<script|javascript:| on\w+=/)
})

test('the login page has a strict policy, and neither store nor log knows a secret', async () => {
  const token = await login('ada', 'laptop')
  const begun = await begin()
  const page = await new ScriptedBrowser().open(begun.url)
  assert.match(page.headers.get('content-security-policy') ?? '', /^default-src 'none'; style-src/)
  assert.equal(page.headers.get('x-frame-options'), 'DENY')
  assert.match(page.headers.get('set-cookie') ?? '', /HttpOnly; SameSite=Lax/)
  assert.ok(page.html.includes(begun.code))
  assert.match(linkOf(page), /code_challenge_method=S256/)
  const stored = ['', '-wal']
    .map((end) => readFileSync(`${bed.folder}/fairway.db${end}`).toString('latin1'))
    .join('')
  const secret = token.split('_')[2] ?? '-'
  for (const text of [stored, bed.logged.join('\n')]) {
    assert.ok(!text.includes(secret))
    assert.ok(!text.includes(provider.clientSecret))
    assert.doesNotMatch(text, /"refresh_token"/)
  }
})

interface Begun {
  readonly id: string
  readonly url: string
  readonly code: string
}

async function begin(): Promise<Begun> {
  const way = { kind: 'browser', port: 40_000, state: 's'.repeat(43) }
  const response = await fetch(`${bed.url}/v1/logins`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ way, challenge: 'c'.repeat(43), client: 'ada@laptop' }),
  })
  return (await response.json()) as Begun
}
