/** Login at a real Keycloak, through its own pages: a whole Fairway in real time, and a server whose clock the test owns. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import { after, before, describe, test } from 'node:test'
import { Keycloak, lacksKeycloak, PASSWORD } from '../keycloak.ts'
import { openLoginBed, type LoginBed } from '../login-bed.ts'
import { ScriptedBrowser } from '../scripted-browser.ts'
import { Laptop } from './laptop.ts'
import { freePorts, startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { eventually, ProbeApp } from './probe-app.ts'

const CLIENT_ID = 'fairway'
const skip = await lacksKeycloak()

/** Our page, a click, Keycloak's form, and back to the command line. */
async function signIn(url: string, person: string): Promise<void> {
  const browser = new ScriptedBrowser()
  const ours = await browser.open(url)
  assert.equal(ours.status, 200, ours.html)
  const form = await browser.follow(ours)
  assert.match(form.html, /id="kc-form-login"/)
  const end = await browser.submit(form, { username: person, password: PASSWORD })
  assert.match(end.html, /Logged in/)
}

/** Keycloak's page for codes, its form, and its question whether the device may. */
async function typeIn(url: string, person: string): Promise<void> {
  const browser = new ScriptedBrowser()
  const form = await browser.open(url)
  const question = await browser.submit(form, { username: person, password: PASSWORD })
  const end = await browser.submit(question, { accept: 'Yes' })
  assert.match(end.html, /Device Login Successful/)
}

describe('Keycloak', { skip, timeout: 1_200_000 }, () => {
  let keycloak: Keycloak
  let bed: LoginBed
  let apiPort: number
  before(async () => {
    ;[apiPort = 0] = await freePorts(1)
    bed = await openLoginBed({
      provider: async (redirectUri) => {
        keycloak = await Keycloak.start({
          clientId: CLIENT_ID,
          redirectUris: [redirectUri, `http://127.0.0.1:${apiPort}/oidc/callback`],
          people: {
            ada: ['/org/payments', '/ops'],
            bob: ['/org/payments'],
            cleo: ['/ops'],
            dan: [],
            eve: ['/ops'],
          },
        })
        const { issuer, clientSecret } = keycloak
        return { issuer, clientSecret, clientId: CLIENT_ID }
      },
    })
  })
  after(async () => {
    await bed.close()
    await keycloak.stop()
  })

  describe('a whole platform', () => {
    let platform: PrivatePlatform
    let folder: string
    const people = new Map<string, Laptop>()
    const laptopOf = (person: string): Laptop => {
      const laptop = people.get(person)
      if (laptop === undefined) throw new Error(`${person} has no laptop`)
      return laptop
    }
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'fairway-keycloak-'))
      await writeFile(join(folder, 'secret'), `${keycloak.clientSecret}\n`, { mode: 0o600 })
      platform = await startPrivatePlatform({
        runner: 'process',
        apiPort,
        env: {
          FAIRWAY_PUBLIC_URL: `http://127.0.0.1:${apiPort}`,
          FAIRWAY_OIDC_ISSUER: keycloak.issuer,
          FAIRWAY_OIDC_CLIENT_ID: CLIENT_ID,
          FAIRWAY_OIDC_CLIENT_SECRET_FILE: join(folder, 'secret'),
        },
      })
      assert.equal(platform.apiPort, apiPort)
      for (const person of ['ada', 'bob', 'cleo', 'dan', 'eve']) {
        people.set(person, await Laptop.open(`http://127.0.0.1:${apiPort}`))
      }
    })
    after(async () => {
      await platform.destroy()
      await Promise.all([...people.values()].map((laptop) => laptop.remove()))
      await rm(folder, { recursive: true, force: true })
    })

    test('people log in by browser and by code', async () => {
      const byBrowser = ['ada', 'bob', 'eve'].map(async (person) => ({
        person,
        ran: await laptopOf(person).login((url) => signIn(url, person)),
      }))
      const byCode = ['cleo', 'dan'].map(async (person) => ({
        person,
        ran: await laptopOf(person).loginByCode((url) => typeIn(url, person)),
      }))
      for (const { person, ran } of await Promise.all([...byBrowser, ...byCode])) {
        assert.equal(ran.code, 0, ran.stderr)
        assert.match(ran.stdout + ran.stderr, new RegExp(`Logged in to .* as ${person}`))
      }
      const who = await laptopOf('ada').fairway(['whoami'])
      assert.match(who.stdout, /groups {2}ops, org\/payments/)
    })

    test('groups are granted roles on the apps of a team', async () => {
      const [shop, other] = await Promise.all([
        ProbeApp.create(platform, 'shop'),
        ProbeApp.create(platform, 'other'),
      ])
      try {
        const bob = laptopOf('bob')
        // What somebody may not even see is not there.
        assert.equal((await bob.fairway(['ps', '--app', 'shop'])).code, 4)
        await platform.must(['team', 'add', 'payments', 'shop'])
        // As Keycloak writes it.
        const grant = ['access', 'grant', '--group', '/org/payments', '--role', 'developer']
        await platform.must([...grant, '--team', 'payments'])
        await platform.must(['access', 'grant', '--group', 'ops', '--role', 'viewer'])
        const deployed = await bob.fairway(['deploy', shop.folder])
        assert.equal(deployed.code, 0, deployed.stderr)
        assert.notEqual((await bob.fairway(['deploy', other.folder])).code, 0)
        const seen = await laptopOf('cleo').fairway(['ps'])
        assert.match(seen.stdout, /shop/)
        assert.equal((await laptopOf('cleo').fairway(['scale', 'web=0', '--app', 'shop'])).code, 3)
        assert.doesNotMatch((await laptopOf('dan').fairway(['ps'])).stdout, /shop/)
      } finally {
        await Promise.all([shop.remove(), other.remove()])
      }
    })

    test('who logs out here is logged out there', async () => {
      assert.equal(await keycloak.sessionCount('dan'), 1)
      assert.equal((await laptopOf('dan').fairway(['logout'])).code, 0)
      await eventually(async () => (await keycloak.sessionCount('dan')) === 0)
    })

    test('who is disabled or signed out there is gone within 60 s, others get new groups and keys', async () => {
      const began = Date.now()
      await keycloak.disable('bob')
      await keycloak.endSessions('eve')
      await keycloak.moveTo('cleo', ['org'])
      await keycloak.rotateKeys()
      const gone = async (person: string): Promise<boolean> =>
        (await laptopOf(person).status()) === 401
      await eventually(
        async () => {
          const whole = [await gone('bob'), await gone('eve')]
          return whole.every(Boolean) && /groups {2}org\n/.test(await whoami('cleo'))
        },
        { withinMs: 60_000 - (Date.now() - began) },
      )
      assert.equal(await laptopOf('ada').status(), 200)
      assert.match(await whoami('ada'), /groups {2}ops, org\/payments/)
      const refused = await laptopOf('bob').fairway(['ps'])
      assert.equal(refused.code, 3, refused.stderr)
    })

    async function whoami(person: string): Promise<string> {
      return (await laptopOf(person).fairway(['whoami'])).stdout
    }
  })

  describe('a server with a clock of its own', () => {
    const login = async (person: string): Promise<void> => {
      let browsing = Promise.resolve()
      const openBrowser = (url: string): Promise<boolean> => {
        browsing = signIn(url, person)
        return Promise.resolve(true)
      }
      const ran = await bed.fairway(`login ${bed.url}`, { home: person, programs: { openBrowser } })
      await browsing
      assert.equal(ran.code, 0, ran.err)
    }
    const whoami = (person: string) => bed.fairway('whoami', { home: person })

    test('a session is confirmed again and again, each time with the newest refresh token', async () => {
      await login('ada')
      for (let i = 0; i < 3; i += 1) {
        bed.later(40_000)
        assert.equal((await whoami('ada')).code, 0)
      }
    })

    test('with new keys there, somebody logs in', async () => {
      await keycloak.rotateKeys()
      await login('cleo')
    })

    test('while it does not answer sessions go on and say so; then all is well again', async () => {
      keycloak.freeze()
      try {
        bed.later(40_000)
        const hangs = await whoami('ada')
        assert.equal(hangs.code, 0, hangs.err)
        assert.match(hangs.err, /identity provider has not confirmed this session since/)
      } finally {
        keycloak.thaw()
      }
      bed.later(20_000)
      await eventually(async () => (await whoami('ada')).err === '')
    })

    test('once it is gone sessions go on for the time that was set, and nobody logs in', async () => {
      await keycloak.stop()
      bed.later(40_000)
      const gone = await whoami('ada')
      assert.equal(gone.code, 0, gone.err)
      assert.match(gone.err, /identity provider has not confirmed this session since/)
      const refused = await bed.fairway(`login ${bed.url} --device`, { home: 'new' })
      assert.equal(refused.code, 8, refused.err)
      assert.match(refused.err, /no answer from 127\.0\.0\.1/)
      bed.later(600_000)
      assert.equal((await whoami('ada')).code, 3)
    })
  })
})
