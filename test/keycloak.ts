/** A real Keycloak on loopback, from its distribution on Maven Central, whose people, keys and process a test owns. */
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { cp, mkdir, mkdtemp, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { isMissing } from '../src/lib/missing-file.ts'
import { minimalEnv, run, runToEnd, start } from '../src/lib/process.ts'
import { lacks } from './e2e/lacks.ts'
import { freePorts } from './e2e/private-platform.ts'

/** The newest that was there; runs on Java 17 and 21. */
const VERSION = '26.4.7'
const SHA512 =
  'f9d4e0ced49976932e173abc8d2f6ff4169c125fe3b14e69ebaa0ccc4dea822e879f7ec7353d28fa40c13de0113059c6888833725378ecef4d27587e0c87a6a2'
const OLDEST_JAVA = 17
const REALM = 'company'
/** Started once and for seconds: what the second compiler and a parallel collector would cost does not pay. */
const JAVA_OPTS =
  '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xms64m -Xmx384m -XX:MaxMetaspaceSize=256m -Dfile.encoding=UTF-8'

const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'fairway-tests')
const built = join(cache, `keycloak-${VERSION}-built`)

/** False once a Keycloak lies in the cache, checked and built, else the reason for a suite to be skipped. */
export async function lacksKeycloak(): Promise<string | false> {
  const missing = lacks('java', 'mvn', 'unzip', 'nice')
  if (missing !== false) return missing
  const { stderr } = await runToEnd('java', ['-version'], { timeoutMs: 60_000 })
  const version = Number(/version "(\d+)/.exec(stderr)?.[1] ?? 0)
  if (version < OLDEST_JAVA) return `needs Java ${OLDEST_JAVA} or newer, this is ${version}`
  if (await exists(built)) return false
  await mkdir(cache, { recursive: true })
  const folder = await mkdtemp(join(cache, 'fetch-'))
  try {
    const zip = `keycloak-quarkus-dist-${VERSION}.zip`
    const why = await fetched(folder)
    if (why !== null) return why
    const sum = await sha512(join(folder, zip))
    if (sum !== SHA512) throw new Error(`${zip} is not what it was: SHA-512 ${sum}`)
    await run('unzip', ['-q', zip], { cwd: folder, timeoutMs: 120_000 })
    const home = join(folder, `keycloak-${VERSION}`)
    // What `start` would do at every first start. The database lives in memory.
    await keycloak(home, ['build', '--db=dev-mem'])
    await rename(home, built).catch(async (error: unknown) => {
      // Another run was faster.
      if (!(await exists(built))) throw error
    })
    return false
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** What a realm is made with. The client is as docs/access.md has it made by hand. */
export interface Realm {
  readonly clientId: string
  readonly redirectUris: readonly string[]
  /** Paths of groups by name of the person: `/org/team-a`. */
  readonly people: Readonly<Record<string, readonly string[]>>
}

export const PASSWORD = 'correct horse battery staple'

const named = z.array(z.object({ id: z.string(), name: z.string() }))
const users = z.array(z.looseObject({ id: z.string() }))
const sessions = z.array(z.object({ clients: z.record(z.string(), z.string()) }))

export class Keycloak {
  readonly clientSecret: string
  readonly issuer: string
  readonly #origin: string
  readonly #home: string
  readonly #group: number
  readonly #adminPassword: string

  private constructor(known: {
    readonly port: number
    readonly home: string
    readonly group: number
    readonly clientSecret: string
    readonly adminPassword: string
  }) {
    this.clientSecret = known.clientSecret
    this.#origin = `http://127.0.0.1:${known.port}`
    this.issuer = `${this.#origin}/realms/${REALM}`
    this.#home = known.home
    this.#group = known.group
    this.#adminPassword = known.adminPassword
  }

  /** Resolves once it answers. @throws with the end of its log where it does not */
  static async start(realm: Realm): Promise<Keycloak> {
    const [port = 0] = await freePorts(1)
    const home = join(await mkdtemp(join(tmpdir(), 'fairway-keycloak-')), 'keycloak')
    await cp(built, home, { recursive: true })
    const clientSecret = randomBytes(24).toString('hex')
    const adminPassword = randomBytes(24).toString('hex')
    await mkdir(join(home, 'data/import'), { recursive: true })
    await writeFile(
      join(home, `data/import/${REALM}-realm.json`),
      JSON.stringify(realmFile(realm, clientSecret)),
    )
    const log = await open(join(home, 'log'), 'a')
    const args = ['start', '--optimized', '--import-realm', '--cache=local', '--http-enabled=true']
    const place = ['--hostname-strict=false', '--http-host=127.0.0.1', `--http-port=${port}`]
    const child = await start('nice', ['-n', '5', join(home, 'bin/kc.sh'), ...args, ...place], {
      env: {
        ...minimalEnv(),
        JAVA_OPTS,
        KC_BOOTSTRAP_ADMIN_USERNAME: 'admin',
        KC_BOOTSTRAP_ADMIN_PASSWORD: adminPassword,
      },
      stdio: ['ignore', log.fd, log.fd],
      // Its script starts Java as a child: both are ended together.
      detached: true,
    })
    await log.close()
    const group = child.pid ?? 0
    const server = new Keycloak({ port, home, group, clientSecret, adminPassword })
    try {
      await server.#answers(() => child.exitCode === null)
      return server
    } catch (error) {
      await server.stop()
      throw error
    }
  }

  /** May not log in any more; sessions that they have are refused too. */
  async disable(person: string): Promise<void> {
    await this.#change(person, { enabled: false })
  }

  /** Ends the sessions, as "Sign out" in the admin console does. */
  async endSessions(person: string): Promise<void> {
    await this.#admin('POST', `/users/${await this.#idOf(person)}/logout`)
  }

  /** How many sessions of the client the person has. */
  async sessionCount(person: string): Promise<number> {
    const answer = await this.#admin('GET', `/users/${await this.#idOf(person)}/sessions`)
    return sessions.parse(answer).filter(({ clients }) => Object.keys(clients).length > 0).length
  }

  /** Takes the person out of every group and puts them into these top groups. */
  async moveTo(person: string, groups: readonly string[]): Promise<void> {
    const user = await this.#idOf(person)
    const before = named.parse(await this.#admin('GET', `/users/${user}/groups`))
    for (const { id } of before) await this.#admin('DELETE', `/users/${user}/groups/${id}`)
    const all = named.parse(await this.#admin('GET', '/groups'))
    for (const { id } of all.filter(({ name }) => groups.includes(name))) {
      await this.#admin('PUT', `/users/${user}/groups/${id}`)
    }
  }

  /** A new key signs from here on, and the old ones are gone. */
  async rotateKeys(): Promise<void> {
    const kind = 'org.keycloak.keys.KeyProvider'
    const { id: realm } = z.object({ id: z.string() }).parse(await this.#admin('GET', ''))
    const providers = z
      .array(z.object({ id: z.string(), providerId: z.string() }))
      .parse(await this.#admin('GET', `/components?type=${kind}`))
    const config = { priority: ['200'], algorithm: ['RS256'], keySize: ['2048'] }
    const provider = { name: `rsa-${randomBytes(4).toString('hex')}`, providerId: 'rsa-generated' }
    await this.#admin('POST', '/components', {
      ...provider,
      providerType: kind,
      parentId: realm,
      config,
    })
    for (const { id, providerId } of providers) {
      if (providerId === 'rsa-generated') await this.#admin('DELETE', `/components/${id}`)
    }
  }

  /** Its connections stay and are not answered. */
  freeze(): void {
    this.#signal('SIGSTOP')
  }

  thaw(): void {
    this.#signal('SIGCONT')
  }

  /** Ends it and removes everything; may be called again. */
  async stop(): Promise<void> {
    this.#signal('SIGKILL')
    await rm(join(this.#home, '..'), { recursive: true, force: true, maxRetries: 5 })
  }

  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.#group, signal)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
    }
  }

  async #answers(lives: () => boolean): Promise<void> {
    const end = Date.now() + 300_000
    for (;;) {
      const answer = await fetch(`${this.issuer}/.well-known/openid-configuration`).catch(
        () => null,
      )
      await answer?.body?.cancel()
      if (answer?.status === 200) return
      if (!lives() || Date.now() > end) {
        const log = await readFile(join(this.#home, 'log'), 'utf8')
        throw new Error(`Keycloak does not answer:\n${log.slice(-3000)}`)
      }
      await sleep(200)
    }
  }

  async #change(person: string, changes: Readonly<Record<string, unknown>>): Promise<void> {
    const path = `/users/${await this.#idOf(person)}`
    const user = z.looseObject({}).parse(await this.#admin('GET', path))
    await this.#admin('PUT', path, { ...user, ...changes })
  }

  async #idOf(person: string): Promise<string> {
    const found = users.parse(await this.#admin('GET', `/users?exact=true&username=${person}`))
    const [user] = found
    if (user === undefined) throw new Error(`Keycloak knows nobody as ${person}`)
    return user.id
  }

  async #admin(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.#origin}/admin/realms/${REALM}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${await this.#adminToken()}`,
        'content-type': 'application/json',
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return text === '' ? null : JSON.parse(text)
  }

  /** Good for a minute: asked for anew each time. */
  async #adminToken(): Promise<string> {
    const response = await fetch(`${this.#origin}/realms/master/protocol/openid-connect/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'password',
        client_id: 'admin-cli',
        username: 'admin',
        password: this.#adminPassword,
      }),
    })
    return z.object({ access_token: z.string() }).parse(await response.json()).access_token
  }
}

/** What the steps of docs/access.md leave behind, as an export has it. */
function realmFile({ clientId, redirectUris, people }: Realm, secret: string): unknown {
  return {
    realm: REALM,
    enabled: true,
    groups: groupTree([...new Set(Object.values(people).flat())]),
    users: Object.entries(people).map(([username, groups]) => ({
      username,
      enabled: true,
      email: `${username}@example.org`,
      emailVerified: true,
      firstName: username,
      lastName: 'Example',
      credentials: [{ type: 'password', value: PASSWORD, temporary: false }],
      groups,
    })),
    clients: [
      {
        clientId,
        secret,
        redirectUris,
        protocol: 'openid-connect',
        clientAuthenticatorType: 'client-secret',
        publicClient: false,
        frontchannelLogout: true,
        standardFlowEnabled: true,
        directAccessGrantsEnabled: false,
        attributes: {
          'oauth2.device.authorization.grant.enabled': 'true',
          'pkce.code.challenge.method': 'S256',
          'backchannel.logout.session.required': 'true',
        },
        protocolMappers: [
          {
            name: 'groups',
            protocol: 'openid-connect',
            protocolMapper: 'oidc-group-membership-mapper',
            config: {
              'claim.name': 'groups',
              'full.path': 'true',
              'id.token.claim': 'true',
              'access.token.claim': 'true',
              'userinfo.token.claim': 'true',
              'introspection.token.claim': 'true',
              'lightweight.claim': 'false',
            },
          },
        ],
      },
    ],
  }
}

interface GroupNode {
  readonly name: string
  readonly subGroups: readonly GroupNode[]
}

/** `/org/team-a` and `/org/team-b` are one group with two below it. */
function groupTree(paths: readonly string[]): readonly GroupNode[] {
  const split = paths.map((path) => path.split('/').filter((part) => part !== ''))
  const tops = [...new Set(split.flatMap(([top]) => (top === undefined ? [] : [top])))]
  return tops.map((name) => {
    const below = split.filter(([top, ...rest]) => top === name && rest.length > 0)
    return { name, subGroups: groupTree(below.map((parts) => parts.slice(1).join('/'))) }
  })
}

async function keycloak(home: string, args: readonly string[]): Promise<void> {
  await run('nice', ['-n', '5', join(home, 'bin/kc.sh'), ...args], {
    env: { ...minimalEnv(), JAVA_OPTS },
    timeoutMs: 400_000,
  })
}

/** Null, or what the client of Maven Central said in failing. */
async function fetched(folder: string): Promise<string | null> {
  const artifact = `org.keycloak:keycloak-quarkus-dist:${VERSION}:zip`
  const args = ['-q', '-B', 'dependency:copy', `-Dartifact=${artifact}`]
  const { PATH, HOME, ...env } = { ...process.env, ...minimalEnv() }
  const given = Object.entries({ ...env, PATH, HOME })
  const known = given.flatMap(([key, value]) =>
    value === undefined ? [] : [[key, value] as const],
  )
  return run('mvn', [...args, `-DoutputDirectory=${folder}`], {
    env: Object.fromEntries(known),
    timeoutMs: 400_000,
  }).then(
    () => null,
    (error: unknown) => `Maven Central cannot be reached: ${String(error).slice(0, 300)}`,
  )
}

async function sha512(path: string): Promise<string> {
  const hash = createHash('sha512')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}
