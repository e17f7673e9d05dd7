/** A server with an identity provider, real HTTP between all of them, and time that the test owns. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createApi } from '../src/api/api.ts'
import { main } from '../src/cli/main.ts'
import type { CliPrograms } from '../src/cli/programs.ts'
import { createAccessRules } from '../src/identity/access-rules.ts'
import { CredentialSeal } from '../src/identity/credential-seal.ts'
import { createIdentity } from '../src/identity/identity.ts'
import { ProviderLogin } from '../src/identity/login.ts'
import { OpenIdProvider, type OpenIdOptions } from '../src/identity/openid-provider.ts'
import { Sessions } from '../src/identity/sessions.ts'
import { systemClock } from '../src/lib/clock.ts'
import type { AuditEvent } from '../src/model/audit.ts'
import type { Clock } from '../src/model/clock.ts'
import { grantOf, PLATFORM } from '../src/model/identity.ts'
import { openSqliteStore } from '../src/store/sqlite-store.ts'
import { freePorts } from './e2e/private-platform.ts'
import { TestIo, testPrograms } from './fakes/cli-io.ts'
import { FakePlatform } from './fakes/fake-platform.ts'
import { MemoryAccess } from './fakes/memory-access.ts'
import { MemoryAudit } from './fakes/memory-audit.ts'
import { MemoryManifests } from './fakes/memory-manifests.ts'
import { MemoryNodes } from './fakes/memory-nodes.ts'
import { MemorySourceStore } from './fakes/memory-source-store.ts'
import { MemoryTargets } from './fakes/memory-targets.ts'

export interface LoginBedOptions {
  /** What is known of the provider, once the server's own address is known. */
  readonly provider: (redirectUri: string) => Promise<{
    readonly issuer: string
    readonly clientId: string
    readonly clientSecret: string
  }>
  readonly changes?: Partial<OpenIdOptions>
  readonly offlineMs?: number
}

export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

export interface LoginBed {
  readonly url: string
  /** Database and homes. */
  readonly folder: string
  /** A token that may do everything. */
  readonly admin: string
  /** Everything that was logged. */
  readonly logged: readonly string[]
  /** What the audit was told. */
  readonly events: readonly AuditEvent[]
  /** From now on the audit keeps everything, or nothing. */
  keepAudit(keeps: boolean): void
  /** Moves the server's clock; the provider's stays. */
  later(ms: number): void
  /** One command line of the CLI; each home is a machine of its own. */
  fairway(
    line: string,
    options?: {
      readonly programs?: Partial<CliPrograms>
      readonly home?: string
      readonly clock?: Clock
    },
  ): Promise<Ran>
  close(): Promise<void>
}

export async function openLoginBed(options: LoginBedOptions): Promise<LoginBed> {
  const [port = 0] = await freePorts(1)
  const url = `http://127.0.0.1:${port}`
  const redirectUri = `${url}/oidc/callback`
  const { clientSecret, ...known } = await options.provider(redirectUri)
  let skewMs = 0
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + skewMs }
  const folder = await mkdtemp(join(tmpdir(), 'fairway-login-'))
  const store = await openSqliteStore({ path: join(folder, 'fairway.db'), clock })
  const logged: string[] = []
  const audit = new MemoryAudit()
  const log = recordingLog(logged)
  const provider = new OpenIdProvider({
    ...known,
    clientSecret: () => Promise.resolve(clientSecret),
    scopes: 'openid profile email',
    groupsClaim: 'groups',
    nameClaim: 'preferred_username',
    redirectUri,
    fetch,
    // The provider's tokens are judged by the time that the provider has.
    clock: systemClock,
    log,
    ...options.changes,
  })
  const sessions: Sessions = new Sessions({
    store: store.users,
    provider,
    seal: new CredentialSeal(randomBytes(32), randomBytes),
    subjectOf: async (person) => ({ ...person, grants: await identity.grantsFor(person) }),
    limits: { idleMs: 43_200_000, totalMs: 604_800_000, offlineMs: options.offlineMs ?? 600_000 },
    clock,
    randomBytes,
    log,
    audit,
  })
  const identity = createIdentity({ store, clock, randomBytes, sessions })
  const wanted = { name: 'root', person: null, grants: [grantOf('admin')], expiresAt: null }
  const { token: admin } = await identity.createToken(PLATFORM, wanted)
  const api = createApi({
    platform: new FakePlatform(),
    sources: new MemorySourceStore(),
    identity,
    audit,
    identities: {
      status: () => Promise.reject(new Error('not in this test')),
      rotate: () => Promise.reject(new Error('not in this test')),
      replace: () => Promise.reject(new Error('not in this test')),
    },
    login: new ProviderLogin({ provider, publicUrl: url, sessions, clock, randomBytes }),
    users: sessions,
    access: new MemoryAccess(),
    accessRules: createAccessRules({
      store,
      rules: identity.rules,
      clock,
      randomId: () => randomBytes(6).toString('hex'),
    }),
    targets: new MemoryTargets(),
    manifests: new MemoryManifests(),
    nodes: new MemoryNodes(),
    installer: {
      install: () => Promise.reject(new Error('not in this test')),
      uninstall: () => Promise.reject(new Error('not in this test')),
    },
    registry: null,
    info: { version: '0.0.0', engine: 'machine', runner: 'process' },
    log,
  })
  await api.listen({ host: '127.0.0.1', port })
  return {
    url,
    folder,
    admin,
    logged,
    events: audit.events,
    keepAudit: (keeps) => (audit.broken = !keeps),
    later: (ms) => (skewMs += ms),
    fairway: async (line, { programs = {}, home = 'laptop', clock: cliClock } = {}) => {
      const io = new TestIo({ home: join(folder, home), cwd: folder, env: {} })
      if (cliClock !== undefined) io.clock = cliClock
      io.stdin.end()
      const code = await main(line.split(' '), io, testPrograms(programs))
      return { code, out: io.out, err: io.err }
    },
    close: async () => {
      await api.close()
      await store.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function recordingLog(logged: string[]) {
  const write = (fields: Readonly<Record<string, unknown>>, message: string): void => {
    const text = JSON.stringify(fields, (_, value: unknown) =>
      value instanceof Error ? `${value.name} ${value.message}` : value,
    )
    logged.push(`${message} ${text}`)
  }
  return { debug: write, info: write, warn: write, error: write }
}
