import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { MemoryAudit } from '../../test/fakes/memory-audit.ts'
import { refOf, releaseOf, rolloutOf, specOf } from '../../test/store-suite.ts'
import { systemClock } from '../lib/clock.ts'
import type { JobRequest } from '../model/engine.ts'
import { FairwayError } from '../model/errors.ts'
import type { InstanceClaim } from '../model/instance-secrets.ts'
import { parseProcessName, parseTargetName } from '../model/names.ts'
import type { Rollout } from '../model/release.ts'
import { Secret, type SecretPlan } from '../model/secrets.ts'
import { openSqliteStore } from '../store/sqlite-store.ts'
import { TargetSecrets } from './target-secrets.ts'

const PROD = parseTargetName('prod')
const SHOP = refOf('shop')
const CLAIM: InstanceClaim = {
  ref: SHOP,
  process: parseProcessName('web'),
  release: 1,
  instance: 'web-a-1',
  run: null,
}
const { image } = releaseOf(SHOP)
const RUN: JobRequest = {
  ref: SHOP,
  spec: specOf(SHOP),
  process: CLAIM.process,
  release: 9,
  image,
  argv: ['migrate'],
  env: {},
  timeoutMs: 60_000,
  key: 'run',
}
const DOCUMENTS = [{ path: 'secrets.yaml', text: 'encrypted' }]

/** Over a real store with one release, which serves. */
async function bed(
  t: TestContext,
  identify: () => Promise<InstanceClaim>,
  open: () => Promise<void> = () => Promise.resolve(),
) {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-target-secrets-'))
  const store = await openSqliteStore({ path: join(folder, 'fairway.db'), clock: systemClock })
  t.after(async () => {
    await store.close()
    await rm(folder, { recursive: true })
  })
  const spec = { ...specOf(SHOP), target: PROD }
  const addRelease = async (): Promise<number> =>
    (await store.addRelease({ ...releaseOf(SHOP), spec, secrets: DOCUMENTS })).number
  await store.ensureApp(SHOP, 1)
  await store.setActive(SHOP, await addRelease())
  let now = 10_000
  const audit = new MemoryAudit()
  const plans: SecretPlan[] = []
  const files = new Map([['KEY', Secret.of('planted')]])
  const secrets = new TargetSecrets({
    instances: (target) =>
      target === PROD
        ? Promise.resolve({ identify, isMeant: () => true })
        : Promise.reject(new FairwayError('NOT_FOUND', `there is no target ${target}`)),
    secrets: {
      open: async (_, plan) => {
        plans.push(plan)
        await open()
        return { folders: [{ name: 'secrets', files }], env: new Map() }
      },
    },
    audit,
    store,
    clock: { now: () => now },
  })
  const ask = (target = PROD) => secrets.open(target, 'token', AbortSignal.timeout(5_000))
  return { audit, plans, ask, store, addRelease, setNow: (at: number) => (now = at) }
}

test('an instance gets the files of its plan, and that is recorded with who it is and no value', async (t) => {
  const { audit, plans, ask } = await bed(t, () => Promise.resolve(CLAIM))
  const { folders } = await ask()
  assert.deepEqual([...(folders[0]?.files.keys() ?? [])], ['KEY'])
  assert.deepEqual(plans, [{ documents: DOCUMENTS, env: {} }])
  assert.deepEqual(audit.events, [
    {
      actor: { kind: 'system', id: null, name: 'fairway' },
      action: 'secret:opened',
      outcome: 'done',
      app: 'shop',
      environment: 'production',
      target: 'target prod',
      reason: null,
      facts: { instance: 'web-a-1', process: 'web', release: 1, files: 'secrets.yaml' },
    },
  ])
})

test('what cannot be recorded is not given', async (t) => {
  const { audit, ask } = await bed(t, () => Promise.resolve(CLAIM))
  audit.broken = true
  await assert.rejects(ask(), { code: 'AUDIT_UNAVAILABLE' })
})

test('a refusal is a record of nobody, and a cluster that there is not looks like a wrong token', async (t) => {
  const foreign = new FairwayError('FORBIDDEN', 'the pod is none of this server’s')
  const { audit, plans, ask } = await bed(t, () => Promise.reject(foreign))
  await assert.rejects(ask(), { code: 'FORBIDDEN' })
  await assert.rejects(ask(parseTargetName('other')), {
    code: 'UNAUTHENTICATED',
    message: 'the token is none for this server and cluster, or expired',
  })
  assert.deepEqual(
    audit.events.map(({ actor, outcome, reason }) => [actor.kind, outcome, reason]),
    [
      ['nobody', 'denied', 'the pod is none of this server’s'],
      ['nobody', 'denied', 'the token is none for this server and cluster, or expired'],
    ],
  )
  assert.deepEqual(plans, [])
})

test('files that do not open are a failure of that instance', async (t) => {
  const closed = new FairwayError('SECRETS_CLOSED', 'its key is no recipient')
  const { audit, ask } = await bed(
    t,
    () => Promise.resolve(CLAIM),
    () => Promise.reject(closed),
  )
  await assert.rejects(ask(), { code: 'SECRETS_CLOSED' })
  const [event] = audit.events
  assert.deepEqual(
    [event?.outcome, event?.reason, event?.app],
    ['failed', 'SECRETS_CLOSED', 'shop'],
  )
})

test('a release gets its values for as long as a rollout may still need it, and no longer', async (t) => {
  let release = 1
  const { ask, store, addRelease, setNow } = await bed(t, () =>
    Promise.resolve({ ...CLAIM, release }),
  )
  const served = async (): Promise<readonly number[]> => {
    const numbers: number[] = []
    for (release = 1; release <= 3; release += 1) {
      const given = await ask().catch((error: unknown) => error)
      if (!(given instanceof FairwayError)) numbers.push(release)
      else assert.match(given.message, /no values are planned for web of release \d of shop/)
    }
    return numbers
  }
  await addRelease()
  assert.deepEqual(await served(), [1], 'what nothing brings in')

  const rollout: Rollout = { ...rolloutOf(SHOP, 'r2', 'running'), release: 2, previous: 1 }
  await store.addRollout(rollout)
  assert.deepEqual(await served(), [1, 2], 'the old one and the new one, before the switch')
  await store.setActive(SHOP, 2)
  assert.deepEqual(await served(), [1, 2], 'and after it, until the old one is gone')

  const spec = { ...specOf(SHOP), target: PROD }
  const [web] = Object.values(spec.processes)
  assert.ok(web)
  const bluegreen = { ...web, strategy: 'bluegreen', bluegreen: { keepMs: 60_000 } } as const
  await store.addRelease({
    ...releaseOf(SHOP),
    spec: { ...spec, processes: { [web.name]: bluegreen } },
    secrets: DOCUMENTS,
  })
  await store.saveRollout({ ...rollout, status: 'succeeded', endedAt: 10_000 })
  const step = {
    name: 'switch',
    status: 'done',
    startedAt: 1,
    endedAt: 10_000,
    summary: '',
  } as const
  await store.addRollout({
    ...rolloutOf(SHOP, 'r3', 'succeeded'),
    ...{ release: 3, previous: 2, steps: [step], endedAt: 10_000 },
  })
  await store.setActive(SHOP, 3)
  assert.deepEqual(await served(), [2, 3], 'a kept release')
  setNow(70_001)
  assert.deepEqual(await served(), [3], 'and not after its time')
  await store.setDeleting(SHOP)
  assert.deepEqual(await served(), [], 'nothing of an app that is removed')
})

test('a run has what it was asked for with, whatever releases there are', async (t) => {
  const secrets: SecretPlan = { documents: [{ path: 'run.yaml', text: 'x' }], env: {} }
  const { plans, ask } = await bed(t, () =>
    Promise.resolve({ ...CLAIM, release: 9, run: { ...RUN, secrets } }),
  )
  await ask()
  assert.deepEqual(plans, [secrets])
  const without = await bed(t, () => Promise.resolve({ ...CLAIM, release: 9, run: RUN }))
  await assert.rejects(without.ask(), { code: 'NOT_FOUND' })
})

test('a release of another cluster has nothing here, nor a process that it does not have', async (t) => {
  let claim = { ...CLAIM, process: parseProcessName('worker') }
  const { ask, store, addRelease } = await bed(t, () => Promise.resolve(claim))
  await assert.rejects(ask(), { code: 'NOT_FOUND' })
  claim = { ...CLAIM, release: 2 }
  await store.addRelease({ ...releaseOf(SHOP), secrets: DOCUMENTS })
  await store.setActive(SHOP, 2)
  await assert.rejects(ask(), { code: 'NOT_FOUND' })
  claim = { ...CLAIM, release: await addRelease() }
  await store.setActive(SHOP, 3)
  await ask()
})
