import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { CredentialSeal } from '../src/identity/credential-seal.ts'
import { createIdentity } from '../src/identity/identity.ts'
import {
  LoginProblem,
  ProviderCredentials,
  type Provider,
  type Vouched,
} from '../src/identity/provider.ts'
import { createRecall } from '../src/identity/recall.ts'
import { Sessions } from '../src/identity/sessions.ts'
import { silentLog } from '../src/lib/log.ts'
import { credentialName } from '../src/model/kube-access.ts'
import { openSqliteStore } from '../src/store/sqlite-store.ts'
import { MemoryAudit } from './fakes/memory-audit.ts'
import { SetClock } from './fakes/set-clock.ts'

const FRESH_MS = 3_000
const LATER_MS = 41_000
const ISSUER = 'https://login.example'

/** Vouches for ada until told otherwise. */
class OneProvider implements Provider {
  readonly issuer = ISSUER
  refuses = false
  groups: readonly string[] = ['dev']

  vouched(): Vouched {
    const credentials = ProviderCredentials.of({ refresh: 'r', access: null })
    const { issuer, groups } = this
    return { issuer, subject: 'ada', name: 'ada', email: null, groups, credentials }
  }

  confirm(): Promise<Vouched> {
    if (this.refuses) return Promise.reject(new LoginProblem('refused', 'disabled'))
    return Promise.resolve(this.vouched())
  }

  authorizationUrl(): Promise<string> {
    return Promise.reject(new Error('nobody asks'))
  }

  exchange(): Promise<Vouched> {
    return Promise.reject(new Error('nobody asks'))
  }

  beginDevice(): Promise<never> {
    return Promise.reject(new Error('nobody asks'))
  }

  pollDevice(): Promise<Vouched> {
    return Promise.reject(new Error('nobody asks'))
  }

  revoke(): Promise<void> {
    return Promise.resolve()
  }
}

async function withAda(
  check: (bed: {
    readonly clock: SetClock
    readonly provider: OneProvider
    readonly sessions: Sessions
    readonly token: string
    readonly groupsNow: () => Promise<readonly string[] | null>
  }) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-recall-'))
  const clock = new SetClock(1_000_000)
  const store = await openSqliteStore({ path: join(folder, 'db'), clock })
  try {
    const provider = new OneProvider()
    const identity = createIdentity({ store, clock, randomBytes })
    const sessions = new Sessions({
      store: store.users,
      provider,
      seal: new CredentialSeal(randomBytes(32), randomBytes),
      subjectOf: async (person) => ({ ...person, grants: await identity.grantsFor(person) }),
      limits: { idleMs: 600_000, totalMs: 3_600_000, offlineMs: 60_000 },
      clock,
      randomBytes,
      log: silentLog,
      audit: new MemoryAudit(),
    })
    const { token } = await sessions.issue(provider.vouched(), 'ada@laptop', () =>
      Promise.resolve(),
    )
    const recall = createRecall({ store, sessions, clock, rules: identity.rules })
    const groupsNow = async () => (await recall(credentialName(token) ?? ''))?.groups ?? null
    await check({ clock, provider, sessions, token, groupsNow })
  } finally {
    await store.close()
    await rm(folder, { recursive: true, force: true })
  }
}

test('a session is recalled by the name of its credential, and no more soon after the logout', async () => {
  await withAda(async ({ clock, sessions, token, groupsNow }) => {
    assert.deepEqual(await groupsNow(), ['dev'])
    await sessions.logout(token)
    clock.advance(FRESH_MS)
    assert.equal(await groupsNow(), null)
  })
})

test('somebody whom the provider refuses is not recalled; other groups come along', async () => {
  await withAda(async ({ clock, provider, groupsNow }) => {
    provider.groups = ['ops']
    clock.advance(LATER_MS)
    assert.deepEqual(await groupsNow(), ['ops'])
    provider.refuses = true
    clock.advance(LATER_MS)
    assert.equal(await groupsNow(), null)
  })
})

test('being recalled is not a use: a session that only streams hold ends', async () => {
  await withAda(async ({ clock, groupsNow }) => {
    for (let passed = 0; passed < 600_000; passed += 50_000) {
      assert.notEqual(await groupsNow(), null)
      clock.advance(50_000)
    }
    assert.equal(await groupsNow(), null)
  })
})
