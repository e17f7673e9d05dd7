/** What every implementation of the `Store` port must do; each runs it from a test of its own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PROCESS_DEFAULTS, type AppSpec } from '../src/model/app-spec.ts'
import { FairwayError } from '../src/model/errors.ts'
import { grantOf } from '../src/model/identity.ts'
import {
  parseAppName,
  parseEnvironmentName,
  parseProcessName,
  parseTargetName,
  type AppRef,
} from '../src/model/names.ts'
import type { Release, Rollout } from '../src/model/release.ts'
import type { Store, TargetRecord, TokenRecord } from '../src/model/store.ts'

export interface StoreUnderTest {
  readonly store: Store
  /** Closes it and opens it again on the same data. */
  readonly reopen: () => Promise<Store>
}

export function refOf(app: string, environment = 'production'): AppRef {
  return { app: parseAppName(app), environment: parseEnvironmentName(environment) }
}

export function specOf(ref: AppRef): AppSpec {
  const web = parseProcessName('web')
  return {
    name: ref.app,
    environment: ref.environment,
    target: null,
    build: { image: null, command: ['npm', 'run', 'build'], context: '.' },
    env: { A: 'ä\n"' },
    release: { command: ['migrate'], timeoutMs: 1 },
    processes: {
      [web]: {
        name: web,
        type: 'web',
        command: null,
        env: {},
        port: 8080,
        routes: [{ host: null, path: '/' }],
        health: { ready: '/h', live: null, startMs: 1, intervalMs: 2, timeoutMs: 3, failures: 4 },
        shutdown: { signal: 'SIGTERM', drainMs: 1, stopMs: 2 },
        resources: { cpu: 0.5, memory: 1024, pids: 5 },
        scale: { min: 1, max: 2 },
        strategy: 'rolling',
        maxAgeMs: null,
        ...PROCESS_DEFAULTS,
      },
    },
  }
}

export function releaseOf(ref: AppRef, createdAt = 1): Omit<Release, 'number'> {
  return {
    ref,
    image: {
      digest: `sha256:${'a'.repeat(64)}`,
      flavour: 'image',
      command: ['node', 'x'],
      env: { PATH: '/bin' },
      workingDir: '/app',
      user: '',
      port: null,
      sizeBytes: 2 ** 40,
    },
    spec: specOf(ref),
    config: { K: 'V' },
    configVersion: 3,
    createdAt,
    createdBy: 'ann',
    reason: 'deploy',
    status: 'pending',
  }
}

export function rolloutOf(ref: AppRef, id: string, status: Rollout['status'] = 'queued'): Rollout {
  return {
    id,
    ref,
    release: null,
    previous: 1,
    request: {
      kind: 'deploy',
      source: 's',
      appFile: { path: 'f', text: 'version: 1' },
      image: null,
    },
    status,
    steps: [{ name: 'bake', status: 'running', startedAt: 1, endedAt: null, summary: '' }],
    share: 0,
    failure: null,
    createdAt: 1_700_000_000_000,
    endedAt: null,
    createdBy: 'ann',
    approval: null,
  }
}

function tokenOf(id: string, createdAt: number): TokenRecord {
  return {
    id,
    name: `n-${id}`,
    hash: `h-${id}`,
    person: null,
    grants: [grantOf('developer')],
    createdAt,
    expiresAt: null,
    lastUsedAt: null,
  }
}

function targetOf(name: string, createdAt: number): TargetRecord {
  return {
    name: parseTargetName(name),
    kubeconfig: 'apiVersion: v1\nkind: Config\n',
    context: null,
    settings: { ingressClass: 'nginx', 'a.b/c': 'ä' },
    createdAt,
  }
}

export function testStore(name: string, open: () => Promise<StoreUnderTest>): void {
  const shop = refOf('shop')
  const check = (
    what: string,
    body: (store: Store, reopen: () => Promise<Store>) => Promise<void>,
  ) =>
    test(`${name}: ${what}`, async () => {
      const { store, reopen } = await open()
      await body(store, reopen)
    })

  check('apps are made once and kept', async (store, reopen) => {
    assert.equal(await store.getApp(shop), null)
    const made = await store.ensureApp(shop, 5)
    assert.deepEqual(made, {
      ref: shop,
      createdAt: 5,
      active: null,
      config: {},
      configVersion: 0,
      scale: {},
      deleting: false,
    })
    assert.deepEqual(await store.ensureApp(shop, 9), made)
    await store.ensureApp(refOf('shop', 'staging'), 7)
    const again = await reopen()
    assert.deepEqual(
      (await again.listApps()).map(({ ref, createdAt }) => [ref.environment, createdAt]),
      [
        ['staging', 7],
        ['production', 5],
      ],
    )
  })

  check(
    'people and sessions: names are unique, sessions go with their person',
    async (store, reopen) => {
      const { users } = store
      const ada = {
        id: 'u1',
        issuer: 'https://id.example',
        subject: 's1',
        name: 'ada',
        email: null,
        groups: ['a', 'ä'],
        createdAt: 1_700_000_000_000,
        lastLoginAt: 1_700_000_000_000,
      }
      const bob = { ...ada, id: 'u2', subject: 's2', name: 'bob', groups: [] }
      await users.putUser(bob)
      await users.putUser(ada)
      await assert.rejects(
        users.putUser({ ...bob, name: 'ada' }),
        (error) => error instanceof FairwayError && error.code === 'CONFLICT',
      )
      await users.putUser({ ...bob, email: 'bob@example.org' })
      const session = {
        id: 'x1',
        user: 'u1',
        hash: 'h1',
        client: 'ada@laptop',
        createdAt: 1_700_000_000_000,
        lastUsedAt: 1_700_000_000_000,
        confirmedAt: 1_700_000_000_000,
        expiresAt: 1_700_000_600_000,
        credentials: 'sealed',
      }
      await users.addSession(session)
      await users.addSession({ ...session, id: 'x2', hash: 'h2', user: 'u2' })
      await users.addSession({ ...session, id: 'x3', hash: 'h3', user: 'u2', expiresAt: 5 })
      assert.equal(await users.updateSession('x2', { confirmedAt: 7, credentials: 'other' }), true)
      assert.equal(await users.updateSession('none', { lastUsedAt: 1 }), false)
      await users.deleteOldSessions(1_700_000_000_000, 1)
      const again = (await reopen()).users
      assert.deepEqual(await again.listUsers(), [ada, { ...bob, email: 'bob@example.org' }])
      assert.deepEqual(await again.findSessionByHash('h1'), session)
      assert.equal((await again.findSessionByHash('h2'))?.credentials, 'other')
      assert.equal(await again.findSessionByHash('h3'), null)
      assert.equal(await again.deleteUser('u1'), true)
      assert.equal(await again.deleteUser('u1'), false)
      assert.equal(await again.getUser('u1'), null)
      assert.deepEqual(
        (await again.listSessions()).map(({ id }) => id),
        ['x2'],
      )
      assert.equal(await again.deleteSession('x2'), true)
      assert.equal(await again.deleteSession('x2'), false)
    },
  )

  check('configuration and scale merge, null deletes, versions grow', async (store) => {
    await store.ensureApp(shop, 1)
    await store.setConfig(shop, { A: '1', B: '', __proto__x: 'y' })
    const record = await store.setConfig(shop, { A: null, C: '3' })
    assert.deepEqual(record.config, { B: '', C: '3', __proto__x: 'y' })
    assert.equal(record.configVersion, 2)
    assert.deepEqual((await store.setScale(shop, { web: 3, jobs: 0 })).scale, { web: 3, jobs: 0 })
    assert.deepEqual((await store.setScale(shop, { web: null })).scale, { jobs: 0 })
    assert.equal((await store.getApp(shop))?.configVersion, 2)
  })

  check('concurrent changes of one app are all kept', async (store) => {
    await store.ensureApp(shop, 1)
    await Promise.all(
      Array.from({ length: 20 }, (_, i) => store.setConfig(shop, { [`K${i}`]: 'x' })),
    )
    const record = await store.getApp(shop)
    assert.equal(Object.keys(record?.config ?? {}).length, 20)
    assert.equal(record?.configVersion, 20)
    const releases = await Promise.all(
      Array.from({ length: 10 }, () => store.addRelease(releaseOf(shop))),
    )
    assert.deepEqual(
      releases.map(({ number }) => number).sort((a, b) => a - b),
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    )
  })

  check('changes of an unknown app are NOT_FOUND', async (store) => {
    const calls = [
      () => store.setActive(shop, 1),
      () => store.setConfig(shop, {}),
      () => store.setScale(shop, {}),
      () => store.setDeleting(shop),
      () => store.addRelease(releaseOf(shop)),
      () => store.setReleaseStatus(shop, 1, 'failed'),
      () => store.addRollout(rolloutOf(shop, 'r1')),
      () => store.saveRollout(rolloutOf(shop, 'r1')),
    ]
    for (const call of calls)
      await assert.rejects(
        call,
        (error) => error instanceof FairwayError && error.code === 'NOT_FOUND',
      )
  })

  check(
    'releases are numbered per app and environment, numbers are not used twice',
    async (store, reopen) => {
      await store.ensureApp(shop, 1)
      await store.ensureApp(refOf('shop', 'staging'), 1)
      const first = await store.addRelease(releaseOf(shop))
      assert.deepEqual(first, { ...releaseOf(shop), number: 1 })
      const second = await store.addRelease(releaseOf(shop, 2))
      assert.equal((await store.addRelease(releaseOf(refOf('shop', 'staging'), 3))).number, 1)
      await store.setReleaseStatus(shop, 2, 'active')
      await store.setActive(shop, 2)
      await store.deleteRelease(shop, 2)
      const again = await reopen()
      assert.equal((await again.addRelease(releaseOf(shop))).number, 3)
      assert.equal(await again.getRelease(shop, 2), null)
      assert.deepEqual(await again.getRelease(shop, 1), first)
      assert.equal(second.number, 2)
      assert.deepEqual(
        (await again.listReleases(shop, 1)).map(({ number }) => number),
        [3],
      )
      assert.equal((await again.listAllReleases()).length, 3)
    },
  )

  check('a release has its encrypted files, and only its own', async (store, reopen) => {
    await store.ensureApp(shop, 1)
    const secrets = [{ path: 'secrets.yaml', text: 'A: ENC[…]\n' }]
    await store.addRelease({ ...releaseOf(shop), secrets })
    await store.addRelease(releaseOf(shop))
    const again = await reopen()
    assert.deepEqual((await again.getRelease(shop, 1))?.secrets, secrets)
    assert.equal((await again.getRelease(shop, 2))?.secrets, undefined)
  })

  check(
    'an environment has one key, also before its app, and it goes with the app',
    async (store, reopen) => {
      const key = { ref: shop, recipient: 'age1a', wrapped: 'v1.x.y', createdAt: 5 }
      assert.equal(await store.getEnvironmentKey(shop), null)
      assert.deepEqual(await store.addEnvironmentKey(key), key)
      assert.deepEqual(await store.addEnvironmentKey({ ...key, recipient: 'age1b' }), key)
      assert.equal(await store.getEnvironmentKey(refOf('shop', 'staging')), null)
      await store.ensureApp(shop, 1)
      const again = await reopen()
      assert.deepEqual(await again.getEnvironmentKey(shop), key)
      await again.deleteApp(shop)
      assert.equal(await again.getEnvironmentKey(shop), null)
    },
  )

  check('an environment has values by name, and they go with the app', async (store, reopen) => {
    const value = { ref: shop, name: 'generated:A', sealed: 'v1.a', changedAt: 5 }
    const lease = { ref: shop, name: 'vault:x/y', sealed: 'v1.b', changedAt: 6 }
    assert.equal(await store.values.get(shop, value.name), null)
    assert.deepEqual(await store.values.add(value), value)
    assert.deepEqual(await store.values.add({ ...value, sealed: 'v1.other' }), value)
    await store.values.put(lease)
    await store.values.put({ ...lease, sealed: 'v1.c', changedAt: 7 })
    const staging = { ...value, ref: refOf('shop', 'staging') }
    await store.values.put(staging)
    const again = await reopen()
    assert.deepEqual(await again.values.get(shop, lease.name), {
      ...lease,
      sealed: 'v1.c',
      changedAt: 7,
    })
    assert.deepEqual(
      (await again.values.list()).map(({ ref, name }) => `${ref.environment} ${name}`),
      ['production generated:A', 'production vault:x/y', 'staging generated:A'],
    )
    await again.values.delete(shop, value.name)
    assert.equal(await again.values.get(shop, value.name), null)
    await again.deleteApp(shop)
    assert.deepEqual(
      (await again.values.list()).map(({ ref }) => ref),
      [staging.ref],
    )
    await again.values.delete(staging.ref, staging.name)
  })

  check(
    'rollouts are replaced by id, newest first; unfinished ones oldest first',
    async (store, reopen) => {
      await store.ensureApp(shop, 1)
      const first = rolloutOf(shop, 'a')
      await store.addRollout(first)
      await store.addRollout(rolloutOf(shop, 'b', 'running'))
      await store.addRollout(rolloutOf(shop, 'c', 'succeeded'))
      const failed: Rollout = {
        ...first,
        release: 4,
        status: 'failed',
        endedAt: 9,
        failure: { code: 'ROLLOUT_FAILED', message: 'm', diagnosis: ['x', 'y'] },
        request: { kind: 'rollback', to: 2 },
      }
      const again = await reopen()
      assert.deepEqual(
        (await again.listUnfinishedRollouts()).map(({ id }) => id),
        ['a', 'b'],
      )
      await again.saveRollout(failed)
      assert.deepEqual(await again.getRollout(shop, 'a'), failed)
      assert.deepEqual(
        (await again.listRollouts(shop, 2)).map(({ id }) => id),
        ['c', 'b'],
      )
      assert.deepEqual(
        (await again.listUnfinishedRollouts()).map(({ id }) => id),
        ['b'],
      )
      assert.equal(await again.getRollout(refOf('other'), 'a'), null)
      await assert.rejects(again.addRollout(first))
    },
  )

  check('a destroyed app takes its releases and rollouts with it', async (store) => {
    const other = refOf('other')
    for (const ref of [shop, other]) {
      await store.ensureApp(ref, 1)
      await store.addRelease(releaseOf(ref))
      await store.addRollout(rolloutOf(ref, ref.app))
    }
    await store.setDeleting(shop)
    assert.equal((await store.getApp(shop))?.deleting, true)
    await store.deleteApp(shop)
    await store.deleteApp(shop)
    assert.equal(await store.getApp(shop), null)
    assert.deepEqual(
      (await store.listAllReleases()).map(({ ref }) => ref.app),
      ['other'],
    )
    assert.deepEqual(
      (await store.listUnfinishedRollouts()).map(({ id }) => id),
      ['other'],
    )
  })

  check('tokens are found by hash only, and settings are single facts', async (store) => {
    await store.addToken(tokenOf('a', 1))
    await store.addToken({
      ...tokenOf('b', 2),
      person: 'ädä',
      grants: [{ ...grantOf('viewer'), team: 'pay', actions: ['app:read'] }],
      expiresAt: 99,
    })
    await store.touchToken('a', 42)
    await store.touchToken('nobody', 42)
    assert.deepEqual(
      (await store.listTokens()).map(({ id }) => id),
      ['b', 'a'],
    )
    assert.deepEqual((await store.listTokens())[0], {
      ...tokenOf('b', 2),
      person: 'ädä',
      grants: [{ ...grantOf('viewer'), team: 'pay', actions: ['app:read'] }],
      expiresAt: 99,
    })
    assert.equal((await store.findTokenByHash('h-a'))?.lastUsedAt, 42)
    assert.equal(await store.findTokenByHash('h-x'), null)
    assert.equal(await store.deleteToken('a'), true)
    assert.equal(await store.deleteToken('a'), false)
    assert.equal(await store.getSetting('claim'), null)
    await store.setSetting('claim', 'x')
    await store.setSetting('claim', 'y')
    assert.equal(await store.getSetting('claim'), 'y')
    await store.setSetting('claim', null)
    assert.equal(await store.getSetting('claim'), null)
  })

  check('teams, bindings and protections', async ({ access }, reopen) => {
    await access.putTeam({ name: 'pay', apps: ['shop'], createdAt: 1 })
    await access.putTeam({ name: 'ops', apps: [], createdAt: 2 })
    await access.putTeam({ name: 'pay', apps: ['shop', 'till'], createdAt: 3 })
    const one = { kind: 'group', name: "/pay'--%", createdAt: 1, createdBy: 'ann' } as const
    const grant = { ...grantOf('operator'), environment: 'production' }
    await access.addBinding({ ...one, id: 'a', grant })
    await access.addBinding({ ...one, id: 'b', grant: grantOf('admin'), createdAt: 2 })
    await access.putProtection({ environment: 'prod', waitMs: 1, createdAt: 1, createdBy: 'ann' })
    await access.putProtection({ environment: 'prod', waitMs: 2, createdAt: 3, createdBy: 'bob' })
    const { access: later } = await reopen()
    assert.deepEqual(await later.listTeams(), [
      { name: 'ops', apps: [], createdAt: 2 },
      { name: 'pay', apps: ['shop', 'till'], createdAt: 1 },
    ])
    assert.deepEqual(await later.listBindings(), [
      { ...one, id: 'b', grant: grantOf('admin'), createdAt: 2 },
      { ...one, id: 'a', grant },
    ])
    assert.deepEqual(await later.listProtections(), [
      { environment: 'prod', waitMs: 2, createdAt: 3, createdBy: 'bob' },
    ])
    assert.deepEqual(
      [await later.deleteTeam('ops'), await later.deleteTeam('%'), await later.deleteTeam('PAY')],
      [true, false, false],
    )
    assert.deepEqual(
      [await later.deleteBinding('b'), await later.deleteBinding('b')],
      [true, false],
    )
    assert.deepEqual(
      [await later.deleteProtection('prod'), await later.deleteProtection('prod')],
      [true, false],
    )
  })

  check('targets are put by name as a whole, newest first', async (store, reopen) => {
    const east = targetOf('east', 1)
    assert.equal(await store.getTarget(east.name), null)
    await store.putTarget(east)
    await store.putTarget(targetOf('west', 2))
    const changed: TargetRecord = { ...east, context: 'admin', settings: {}, createdAt: 3 }
    const again = await reopen()
    assert.deepEqual(await again.getTarget(east.name), east)
    await again.putTarget(changed)
    assert.deepEqual(await again.listTargets(), [changed, targetOf('west', 2)])
    assert.equal(await again.deleteTarget(east.name), true)
    assert.equal(await again.deleteTarget(east.name), false)
    assert.equal(await again.getTarget(east.name), null)
    assert.equal((await again.listTargets()).length, 1)
  })

  check('texts that look like SQL stay texts', async (store) => {
    await store.ensureApp(shop, 1)
    const text = `'; drop table apps; -- \u0000 \u{1F600}`
    await store.setConfig(shop, { X: text })
    assert.equal((await store.getApp(shop))?.config['X'], text)
    const key = text.replace('\u0000', '%_\\')
    await store.setSetting(key, key)
    assert.equal(await store.getSetting(key), key)
  })
}
