import 'reflect-metadata'
import assert from 'node:assert/strict'
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  webcrypto,
  X509Certificate,
} from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import * as x509 from '@peculiar/x509'
import { SetClock } from '../../test/fakes/set-clock.ts'
import { until } from '../../test/fakes/until.ts'
import { silentLog } from '../lib/log.ts'
import { run } from '../lib/process.ts'
import { Authority, type AuthorityVault } from './authority.ts'
import { MARGIN_MS, parseState } from './authority-state.ts'
import type { X509Svid } from './certificate.ts'
import { judgePeer } from './peer.ts'
import { pem } from './pem.ts'
import { spiffeIdText } from './spiffe-id.ts'

const START = Date.UTC(2026, 10, 1)
const HOUR = 3_600_000
const TIMES = { svidMs: HOUR, rootMs: 365 * 24 * HOUR }
const WEB = { trustDomain: 'example.org', path: '/production/shop/web' }

class MemoryVault implements AuthorityVault {
  text: string | null = null
  failures = 0

  load(): Promise<string | null> {
    return Promise.resolve(this.text)
  }

  save(text: string): Promise<void> {
    if (this.failures-- > 0) return Promise.reject(new Error('the disk is full'))
    this.text = text
    return Promise.resolve()
  }
}

function authority(clock: SetClock, vault = new MemoryVault(), trustDomain = 'example.org') {
  return new Authority({ trustDomain, vault, clock, log: silentLog, times: TIMES })
}

/** Walks on until the authority has taken the step it waits for. */
async function passRotation(made: Authority, clock: SetClock, phase: string): Promise<void> {
  while ((await made.status()).phase !== phase) {
    await until('it sleeps', () => clock.sleeping > 0)
    clock.advance(HOUR / 4)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function accepts(made: Authority, svid: X509Svid, now: number): Promise<boolean> {
  const { trustDomain, roots } = await made.bundle()
  const verdict = await judgePeer(new Uint8Array(svid.certificate), {
    bundles: new Map([[trustDomain, roots]]),
    now,
  })
  return verdict.accepted
}

describe('certificates', () => {
  let folder = ''
  before(async () => (folder = await mkdtemp(join(tmpdir(), 'fairway-svid-'))))
  after(() => rm(folder, { recursive: true, force: true }))

  test('openssl finds what X509-SVID demands, and verifies it', async () => {
    const made = authority(new SetClock(Date.now()))
    const svid = await made.x509Svid(WEB)
    const { roots } = await made.bundle()
    const [leaf, bundle] = [join(folder, 'svid.pem'), join(folder, 'bundle.pem')]
    await writeFile(leaf, pem('CERTIFICATE', svid.certificate))
    await writeFile(bundle, roots.join('\n'))
    const show = async (file: string) =>
      (await run('openssl', ['x509', '-in', file, '-noout', '-text'])).replaceAll(/\s+/g, ' ')

    const text = await show(leaf)
    assert.match(text, /Alternative Name: URI:spiffe:\/\/example\.org\/production\/shop\/web /)
    assert.match(text, /Basic Constraints: critical CA:FALSE/)
    assert.match(text, /Key Usage: critical Digital Signature X509v3/)
    assert.match(text, /Extended Key Usage: TLS Web Server Authentication, TLS Web Client Auth/)
    const root = await show(bundle)
    assert.match(root, /Alternative Name: URI:spiffe:\/\/example\.org /)
    assert.match(root, /Basic Constraints: critical CA:TRUE, pathlen:0/)
    assert.match(root, /Key Usage: critical Certificate Sign, CRL Sign/)
    for (const purpose of ['sslserver', 'sslclient']) {
      const args = ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', bundle, leaf]
      assert.match(await run('openssl', args), /svid\.pem: OK/)
    }
  })

  test('the key belongs to the certificate, and every one is another', async () => {
    const made = authority(new SetClock(START))
    const [first, second] = [await made.x509Svid(WEB), await made.x509Svid(WEB)]
    const key = createPrivateKey({ key: first.key, format: 'der', type: 'pkcs8' })
    assert.ok(new X509Certificate(first.certificate).checkPrivateKey(key))
    assert.ok(!new X509Certificate(second.certificate).checkPrivateKey(key))
    assert.equal(first.notAfter, START + HOUR)
  })

  test('ends with its root', async () => {
    const clock = new SetClock(START)
    const made = authority(clock)
    await made.bundle()
    clock.advance(TIMES.rootMs - HOUR / 2)
    const svid = await made.x509Svid(WEB)
    assert.equal(svid.notAfter, START + TIMES.rootMs)
  })

  test('with a clock that was set back to before the root nothing is handed out', async () => {
    const clock = new SetClock(START)
    const made = authority(clock)
    await made.bundle()
    clock.advance(-23 * HOUR)
    await made.x509Svid(WEB)
    clock.advance(-2 * HOUR)
    await assert.rejects(made.x509Svid(WEB), /nobody accepts/)
  })
})

describe('who is accepted', () => {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
  const clock = new SetClock(START)
  const made = authority(clock)
  const other = authority(clock, new MemoryVault(), 'other.org')

  async function judged(leaf: Uint8Array<ArrayBuffer>, now = START): Promise<string> {
    const bundles = new Map([
      ['example.org', (await made.bundle()).roots],
      ['other.org', (await other.bundle()).roots],
    ])
    const verdict = await judgePeer(leaf, { bundles, now })
    return verdict.accepted ? spiffeIdText(verdict.id) : verdict.reason
  }

  /** Signed by the authority's root with whatever extensions. */
  async function forged(extensions: x509.Extension[], by = made): Promise<Uint8Array<ArrayBuffer>> {
    await by.bundle()
    const vault = vaultOf.get(by)
    const [root] = parseState(vault?.text ?? '').roots
    assert.ok(root)
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
    const [der] = x509.PemConverter.decode(root.key)
    assert.ok(der)
    const leaf = await x509.X509CertificateGenerator.create({
      serialNumber: '01',
      subject: 'O=Forger',
      issuer: new x509.X509Certificate(root.certificate).subject,
      notBefore: new Date(START - 1000),
      notAfter: new Date(START + HOUR),
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey: await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']),
      extensions,
    })
    return new Uint8Array(leaf.rawData)
  }

  const vaultOf = new Map<Authority, MemoryVault>()
  const names = (...values: string[]) =>
    new x509.SubjectAlternativeNameExtension(values.map((value) => ({ type: 'url', value })))
  const usage = (flags: x509.KeyUsageFlags, critical = true) =>
    new x509.KeyUsagesExtension(flags, critical)
  const { digitalSignature, keyCertSign, cRLSign } = x509.KeyUsageFlags
  const id = spiffeIdText(WEB)

  function known(trustDomain: string): Authority {
    const vault = new MemoryVault()
    const one = authority(clock, vault, trustDomain)
    vaultOf.set(one, vault)
    return one
  }
  const signing = known('example.org')
  const foreign = known('other.org')

  async function verdictOf(extensions: x509.Extension[], by = signing): Promise<string> {
    const bundles = new Map([
      ['example.org', (await signing.bundle()).roots],
      ['other.org', (await foreign.bundle()).roots],
    ])
    const verdict = await judgePeer(await forged(extensions, by), { bundles, now: START })
    return verdict.accepted ? spiffeIdText(verdict.id) : verdict.reason
  }

  test('its own', async () => {
    assert.equal(await judged(new Uint8Array((await made.x509Svid(WEB)).certificate)), id)
    assert.equal(await verdictOf([names(id), usage(digitalSignature)]), id)
  })

  test('not once it has expired, and not before it is valid', async () => {
    const leaf = new Uint8Array((await made.x509Svid(WEB)).certificate)
    assert.equal(await judged(leaf, START + HOUR - 1), id)
    assert.equal(await judged(leaf, START + HOUR), 'it has expired')
    assert.equal(await judged(leaf, START - MARGIN_MS + 1), id)
    assert.equal(await judged(leaf, START - MARGIN_MS - 1000), 'it is not valid yet')
  })

  test('not what another trust domain signed', async () => {
    const extensions = [names(id), usage(digitalSignature)]
    assert.equal(await verdictOf(extensions, foreign), 'no root of example.org signed it')
    const unknown = [names('spiffe://third.org/web'), usage(digitalSignature)]
    assert.equal(await verdictOf(unknown), 'the trust domain third.org is not known')
  })

  test('not with two URIs, none, or one that is no workload', async () => {
    const exactly = 'it does not name exactly one SPIFFE ID'
    const signs = usage(digitalSignature)
    assert.equal(await verdictOf([names(id, `${id}2`), signs]), exactly)
    assert.equal(await verdictOf([names(id, 'https://example.org/'), signs]), exactly)
    assert.equal(await verdictOf([names('https://example.org/'), signs]), exactly)
    assert.equal(await verdictOf([signs]), exactly)
    assert.match(await verdictOf([names('spiffe://example.org'), signs]), /names a trust domain/)
  })

  test('not what may sign certificates', async () => {
    const may = 'its key may sign certificates'
    assert.equal(await verdictOf([names(id), usage(digitalSignature | keyCertSign)]), may)
    assert.equal(await verdictOf([names(id), usage(digitalSignature | cRLSign)]), may)
    assert.match(await verdictOf([names(id), usage(digitalSignature, false)]), /not critical/)
    assert.match(await verdictOf([names(id)]), /missing/)
    const authorities = new x509.BasicConstraintsExtension(true, 0, true)
    assert.match(await verdictOf([names(id), usage(digitalSignature), authorities]), /authority/)
  })

  test('not what is no certificate', async () => {
    assert.equal(await judged(new Uint8Array([1, 2, 3])), 'it is no certificate')
  })
})

describe('JWT-SVIDs', () => {
  const clock = new SetClock(START)
  const made = authority(clock)

  test('are valid for their audience, for five minutes', async () => {
    const token = await made.jwtSvid(WEB, ['api', 'db'])
    const verdict = await made.validateJwtSvid(token, 'db')
    assert.deepEqual(verdict?.id, WEB)
    assert.deepEqual(verdict.claims, {
      sub: spiffeIdText(WEB),
      aud: ['api', 'db'],
      iat: START / 1000,
      exp: START / 1000 + 300,
    })
    assert.equal(await made.validateJwtSvid(token, 'other'), null)
    clock.advance(300_000 + 61_000)
    assert.equal(await made.validateJwtSvid(token, 'db'), null)
  })

  test('of other keys, other trust domains or without a signature are none', async () => {
    const other = authority(clock)
    assert.equal(await made.validateJwtSvid(await other.jwtSvid(WEB, ['db']), 'db'), null)
    const foreign = await made.jwtSvid({ trustDomain: 'other.org', path: '/web' }, ['db'])
    assert.equal(await made.validateJwtSvid(foreign, 'db'), null)
    const [, payload = ''] = (await made.jwtSvid(WEB, ['db'])).split('.')
    const none = Buffer.from('{"alg":"none"}').toString('base64url')
    assert.equal(await made.validateJwtSvid(`${none}.${payload}.`, 'db'), null)
    assert.equal(await made.validateJwtSvid('x'.repeat(100_000), 'db'), null)
  })

  test('the bundle holds public halves only', async () => {
    const { keys } = JSON.parse(await made.jwtBundle()) as { keys: Record<string, string>[] }
    assert.deepEqual(Object.keys(keys[0] ?? {}).sort(), [
      'alg',
      'crv',
      'kid',
      'kty',
      'use',
      'x',
      'y',
    ])
    assert.equal(keys[0]?.['use'], 'jwt-svid')
    createPublicKey({ key: keys[0], format: 'jwk' })
  })
})

test('a replaced root is trusted no more, at once, and a rotation that was under way is over', async () => {
  const clock = new SetClock(START)
  const vault = new MemoryVault()
  const made = authority(clock, vault)
  const stolen = await made.x509Svid(WEB)
  await made.rotate()
  const { sequence } = await made.bundle()
  let told = 0
  made.onChange(() => (told += 1))
  const { phase, roots } = await made.replace()
  assert.deepEqual([phase, roots.length, told], ['steady', 1, 1])
  assert.ok((await made.bundle()).sequence > sequence)
  assert.ok(!(await accepts(made, stolen, clock.now())))
  assert.ok(await accepts(made, await made.x509Svid(WEB), clock.now()))
  const next = authority(clock, vault)
  await next.open()
  assert.deepEqual(await next.bundle(), await made.bundle())
})

test('a key that somebody else holds is signed, and only a P-256 one', async () => {
  const made = authority(new SetClock(START))
  const spki = (namedCurve: string) =>
    generateKeyPairSync('ec', { namedCurve }).publicKey.export({ type: 'spki', format: 'der' })
  const publicKey = spki('P-256')
  const { leaf: signed } = await made.certify(WEB, new Uint8Array(publicKey))
  const { certificate, id } = signed
  assert.deepEqual(id, WEB)
  const leaf = new X509Certificate(certificate)
  assert.deepEqual(leaf.publicKey.export({ type: 'spki', format: 'der' }), publicKey)
  await assert.rejects(made.certify(WEB, new Uint8Array(spki('P-384'))))
})

describe('a rotation of the root', () => {
  test('never leaves an SVID that is in use untrusted, by old or new bundles', async () => {
    const clock = new SetClock(START)
    const made = authority(clock)
    const over = new AbortController()
    const oldBundle = await made.bundle()
    const oldSvid = await made.x509Svid(WEB)
    const running = made.keepRotating(over.signal)
    await made.rotate()
    assert.equal((await made.bundle()).roots.length, 2)
    const meanwhile = await made.x509Svid(WEB)
    assert.ok(await accepts(made, oldSvid, clock.now()))
    const trusts = new Map([[oldBundle.trustDomain, oldBundle.roots]])
    const judge = (svid: X509Svid) =>
      judgePeer(new Uint8Array(svid.certificate), { bundles: trusts, now: clock.now() })
    assert.ok((await judge(meanwhile)).accepted, 'whoever has the old bundle trusts what is new')

    const publishedAt = clock.now()
    await passRotation(made, clock, 'switched')
    assert.ok(clock.now() - publishedAt >= HOUR, 'all old bundles are gone before the switch')
    const lastOld = await made.x509Svid(WEB)
    assert.ok(!(await judge(lastOld)).accepted, 'signed by the new root')
    assert.ok(await accepts(made, lastOld, clock.now()))

    const switchedAt = clock.now()
    await passRotation(made, clock, 'steady')
    assert.ok(clock.now() - switchedAt >= HOUR, 'all SVIDs of the old root have ended')
    const end = await made.bundle()
    assert.equal(end.roots.length, 1)
    assert.notDeepEqual(end.roots, oldBundle.roots)
    assert.equal(end.sequence, oldBundle.sequence + 2)
    over.abort()
    await running
  })

  test('is not begun twice', async () => {
    const made = authority(new SetClock(START))
    await made.rotate()
    await assert.rejects(made.rotate(), { code: 'CONFLICT' })
  })

  test('begins by itself at half of the life of the root', async () => {
    const clock = new SetClock(START)
    const made = authority(clock)
    await made.bundle()
    clock.advance(TIMES.rootMs / 2 - 1)
    const over = new AbortController()
    const running = made.keepRotating(over.signal)
    let changes = 0
    made.onChange(() => changes++)
    await until('it sleeps', () => clock.sleeping > 0)
    assert.equal((await made.status()).phase, 'steady')
    clock.advance(1000)
    await until('it has published', () => changes === 1)
    assert.equal((await made.status()).phase, 'published')
    over.abort()
    await running
  })

  test('goes on in the next life of the server, and gives instances time to hear of a published root', async () => {
    const clock = new SetClock(START)
    const vault = new MemoryVault()
    const first = authority(clock, vault)
    const before = await first.rotate()
    clock.advance(100 * HOUR)
    const second = authority(clock, vault)
    await second.open()
    const { roots, next } = await second.status()
    assert.deepEqual(roots, before.roots)
    assert.equal(next.step, 'switch')
    assert.ok(next.at >= clock.now() + HOUR)
  })

  test('what could not be stored has not happened', async () => {
    const clock = new SetClock(START)
    const vault = new MemoryVault()
    const made = authority(clock, vault)
    const before = await made.status()
    vault.failures = 1
    await assert.rejects(made.rotate(), /disk is full/)
    assert.deepEqual(await made.status(), before)
  })

  test('keys of another trust domain are not used', async () => {
    const clock = new SetClock(START)
    const vault = new MemoryVault()
    const before = await authority(clock, vault).bundle()
    const renamed = authority(clock, vault, 'renamed.org')
    await renamed.open()
    const bundle = await renamed.bundle()
    assert.equal(bundle.trustDomain, 'renamed.org')
    assert.notDeepEqual(bundle.roots, before.roots)
  })

  test('damaged keys are an error without the keys', () => {
    assert.throws(
      () => parseState('{"version":1,"key":"hush"}'),
      (error: Error) => {
        return error.message.includes('damaged') && !error.message.includes('hush')
      },
    )
    assert.throws(
      () => parseState('hush'),
      (error: Error) => !error.message.includes('hush'),
    )
  })
})
