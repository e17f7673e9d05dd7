import assert from 'node:assert/strict'
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { MemoryAudit } from '../../test/fakes/memory-audit.ts'
import { refOf, releaseOf, specOf } from '../../test/store-suite.ts'
import { systemClock } from '../lib/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { HeldKey } from '../model/instance-identity.ts'
import type { InstanceClaim } from '../model/instance-secrets.ts'
import { parseProcessName, parseTargetName } from '../model/names.ts'
import type { IdentityHolder } from '../model/workload.ts'
import { openSqliteStore } from '../store/sqlite-store.ts'
import { TargetIdentities } from './target-identities.ts'

const PROD = parseTargetName('prod')
const SHOP = refOf('shop')
const CLAIM: InstanceClaim = {
  ref: SHOP,
  process: parseProcessName('web'),
  release: 1,
  instance: 'web-a-1',
  run: null,
}
const TOKEN = 'the-token'

/** Over a real store with one release, which serves. */
async function bed(
  t: TestContext,
  { identity = true, identify = () => Promise.resolve(CLAIM) } = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-target-identities-'))
  const store = await openSqliteStore({ path: join(folder, 'fairway.db'), clock: systemClock })
  t.after(async () => {
    await store.close()
    await rm(folder, { recursive: true })
  })
  const spec = specOf(SHOP)
  const processes = Object.fromEntries(
    Object.entries(spec.processes).map(([name, process]) => [name, { ...process, identity }]),
  )
  await store.ensureApp(SHOP, 1)
  const { number } = await store.addRelease({
    ...releaseOf(SHOP),
    spec: { ...spec, processes, target: PROD },
  })
  await store.setActive(SHOP, number)
  const audit = new MemoryAudit()
  const signed: IdentityHolder[] = []
  const needs: string[] = []
  const identities = new TargetIdentities({
    instances: (target) =>
      target === PROD
        ? Promise.resolve({
            isMeant: (token) => token === 'meant',
            identify: (_token, need) => {
              needs.push(need)
              return identify()
            },
          })
        : Promise.reject(new FairwayError('NOT_FOUND', `there is no target ${target}`)),
    signer: {
      certify: (holder) => {
        signed.push(holder)
        return Promise.resolve({
          ...{ id: 'spiffe://x/y', certificate: new Uint8Array(), lifeMs: 1 },
          ...{ trustDomain: 'x', roots: [], jwtBundle: '{}' },
        })
      },
      jwtSvid: (holder) => {
        signed.push(holder)
        return Promise.resolve('jwt')
      },
      validateJwtSvid: () => Promise.resolve(null),
    },
    audit,
    store,
  })
  const signal = AbortSignal.timeout(5_000)
  return {
    audit,
    signed,
    needs,
    expect: (token: string, target = PROD) => identities.expect(target, token),
    certify: (key: HeldKey, target = PROD) => identities.certify(target, TOKEN, key, signal),
    jwt: () => identities.jwtSvid(PROD, TOKEN, ['a'], signal),
    validate: () => identities.validateJwtSvid(PROD, TOKEN, { svid: 'x', audience: 'a' }, signal),
  }
}

function heldKey(namedCurve = 'P-256', token = TOKEN): HeldKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve })
  return { publicKey: spki(publicKey), proof: proofBy(privateKey, token) }
}

function spki(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' })
}

function proofBy(key: KeyObject, token: string): Buffer {
  return sign('sha256', Buffer.from(token), { key, dsaEncoding: 'ieee-p1363' })
}

test('an instance is signed for as who the cluster says that it is, and nothing is recorded of that', async (t) => {
  const { certify, jwt, validate, signed, needs, audit } = await bed(t)
  await certify(heldKey())
  await jwt()
  assert.equal(await validate(), null)
  for (const { ref, process } of signed) assert.deepEqual([ref, process], [SHOP, 'web'])
  assert.equal(signed.length, 2)
  assert.deepEqual(needs, ['identity', 'identity', 'identity'])
  assert.deepEqual(audit.events, [])
})

test('a key that the instance does not hold, or of another kind, is not signed', async (t) => {
  const { certify, signed, audit } = await bed(t)
  const other = heldKey()
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  for (const key of [
    { ...heldKey(), proof: other.proof },
    heldKey('P-256', 'another token'),
    heldKey('P-384'),
    {
      publicKey: spki(rsa.publicKey),
      proof: sign('sha256', Buffer.from(TOKEN), rsa.privateKey),
    },
    { publicKey: Buffer.from('no key'), proof: other.proof },
    { ...heldKey(), proof: Buffer.alloc(0) },
  ])
    await assert.rejects(certify(key), { code: 'INVALID_REQUEST' })
  assert.deepEqual(signed, [])
  assert.deepEqual([...new Set(audit.events.map(({ outcome }) => outcome))], ['denied'])
})

test('what keeps a cluster or this server from answering is nobody’s attempt', async (t) => {
  for (const code of ['RUNNER_UNAVAILABLE', 'CLUSTER_UNREACHABLE'] as const) {
    const away = new FairwayError(code, 'away')
    const { certify, audit } = await bed(t, { identify: () => Promise.reject(away) })
    await assert.rejects(certify(heldKey()), { code })
    assert.deepEqual(audit.events, [])
  }
})

test('a look at the token tells at once who means somebody else', async (t) => {
  const { expect } = await bed(t)
  await expect('meant')
  await assert.rejects(expect('other'), { code: 'UNAUTHENTICATED' })
  await assert.rejects(expect('meant', parseTargetName('other')), { code: 'UNAUTHENTICATED' })
})

test('a process that asks for none gets none, nor one of a release that there is not', async (t) => {
  const { certify, jwt, validate, audit } = await bed(t, { identity: false })
  for (const ask of [() => certify(heldKey()), jwt, validate])
    await assert.rejects(ask(), { code: 'NOT_FOUND' })
  assert.deepEqual(
    audit.events.map(({ action, outcome, facts }) => [action, outcome, facts?.['instance']]),
    Array(3).fill(['identity:issued', 'denied', 'web-a-1']),
  )
  const old = await bed(t, { identify: () => Promise.resolve({ ...CLAIM, release: 7 }) })
  await assert.rejects(old.certify(heldKey()), { code: 'NOT_FOUND' })
})

test('a run has what it was asked for with', async (t) => {
  const spec = specOf(SHOP)
  const run = {
    ...{ ref: SHOP, spec, process: CLAIM.process, release: 9, image: releaseOf(SHOP).image },
    ...{ argv: [], env: {}, timeoutMs: 1, key: 'run' },
  }
  const without = await bed(t, { identify: () => Promise.resolve({ ...CLAIM, release: 9, run }) })
  await assert.rejects(without.certify(heldKey()), { code: 'NOT_FOUND' })
  const [process] = Object.values(spec.processes)
  assert.ok(process)
  const processes = { [CLAIM.process]: { ...process, identity: true } }
  const asked = { ...run, spec: { ...spec, processes } }
  const given = await bed(t, {
    identify: () => Promise.resolve({ ...CLAIM, release: 9, run: asked }),
  })
  await given.certify(heldKey())
  assert.equal(given.signed.length, 1)
})

test('a refusal is a record of nobody, and a cluster that there is not looks like a wrong token', async (t) => {
  const foreign = new FairwayError('FORBIDDEN', 'the pod is none of this server’s')
  const { certify, audit } = await bed(t, { identify: () => Promise.reject(foreign) })
  await assert.rejects(certify(heldKey()), { code: 'FORBIDDEN' })
  await assert.rejects(certify(heldKey(), parseTargetName('other')), { code: 'UNAUTHENTICATED' })
  assert.deepEqual(
    audit.events.map(({ actor, outcome, reason }) => [actor.kind, outcome, reason]),
    [
      ['nobody', 'denied', 'the pod is none of this server’s'],
      ['nobody', 'denied', 'the token is none for this server and cluster, or expired'],
    ],
  )
})
