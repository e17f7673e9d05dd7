import assert from 'node:assert/strict'
import { readFile, mkdtemp, rm } from 'node:fs/promises'
import { connect as connectHttp2 } from 'node:http2'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { connect, type PeerCertificate } from 'node:tls'
import { run, runToEnd } from '../../src/lib/process.ts'
import { freePorts, startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { ProbeApp } from './probe-app.ts'

const curl = await has('curl', '--version')
const openssl = await has('openssl', 'version')

describe('https with the authority of this machine', { timeout: 400_000 }, () => {
  let platform: PrivatePlatform
  let app: ProbeApp
  let port: number
  let said: string
  let caFile: string
  before(async () => {
    ;[port = 0] = await freePorts(1)
    platform = await startPrivatePlatform({
      runner: 'process',
      env: { FAIRWAY_HTTPS_PORT: String(port) },
    })
    app = await ProbeApp.create(platform, 'shop')
    await app.deploy()
    said = await platform.must(['up'])
    caFile = /^ca +(\S+)/m.exec(said)?.[1] ?? ''
  })
  after(async () => {
    await platform.destroy()
    await app.remove()
  })

  test('`up` says where the authority is, and may be repeated', async () => {
    assert.match(said, new RegExp(`https://localhost:${String(port)}`))
    assert.match(await readFile(caFile, 'utf8'), /^-----BEGIN CERTIFICATE-----/)
    const shown = JSON.parse(await platform.must(['up', '--json'])) as { caFile: string | null }
    assert.equal(shown.caFile, caFile)
  })

  test('a client that trusts it gets an answer, one that does not gets none', async () => {
    const ca = await readFile(caFile, 'utf8')
    assert.match(await getHttps(port, { ca }), /^probe \(release 1/)
    await assert.rejects(getHttps(port, {}), /unable to verify|self.signed/)
  })

  test('curl agrees, with HTTP/2', { skip: curl }, async () => {
    const host = 'shop.localhost'
    const url = `https://${host}:${String(port)}/`
    const resolve = `${host}:${String(port)}:127.0.0.1`
    const args = ['-sS', '--noproxy', '*', '--cacert', caFile, '--resolve', resolve, '--http2']
    const answer = await run('curl', [...args, '-w', '%{http_version}', url])
    assert.match(answer, /^probe \(release 1.*\n2$/)
  })

  test('HTTP/2 carries requests side by side', async () => {
    const ca = await readFile(caFile, 'utf8')
    const session = connectHttp2(`https://shop.localhost:${String(port)}`, {
      ca,
      lookup: (_name, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]),
    })
    try {
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => streamText(session.request({ ':path': '/healthz' }))),
      )
      assert.deepEqual(new Set(answers), new Set(['well\n']))
    } finally {
      session.close()
    }
  })

  test('each routed host has a certificate of its own, others get the one of localhost', async () => {
    const ca = await readFile(caFile, 'utf8')
    assert.match(
      (await certificate(port, 'shop.localhost', ca)).subjectaltname ?? '',
      /DNS:shop\.localhost/,
    )
    assert.match((await certificate(port, 'localhost', ca)).subjectaltname ?? '', /DNS:localhost/)
    await assert.rejects(certificate(port, 'nobody.localhost', ca), /not in the cert/)
  })

  test('the authority stays over a restart', async () => {
    const before = await readFile(caFile, 'utf8')
    await platform.must(['down'])
    await platform.must(['up'])
    assert.equal(await readFile(caFile, 'utf8'), before)
    assert.match(await getHttps(port, { ca: before }), /^probe/)
  })
})

describe('https with certificates given by files', { skip: openssl, timeout: 400_000 }, () => {
  let platform: PrivatePlatform
  let app: ProbeApp
  let folder: string
  let port: number
  before(async () => {
    ;[port = 0] = await freePorts(1)
    folder = await mkdtemp(join(tmpdir(), 'fairway-tls-'))
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    const subject = ['-subj', '/CN=given', '-addext', 'subjectAltName=DNS:shop.localhost']
    const fresh = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    await run('openssl', [...fresh, '-keyout', key, '-out', cert, '-days', '2', ...subject])
    platform = await startPrivatePlatform({
      runner: 'process',
      env: { FAIRWAY_HTTPS_PORT: String(port), FAIRWAY_TLS_CERT: cert, FAIRWAY_TLS_KEY: key },
    })
    app = await ProbeApp.create(platform, 'shop')
  })
  after(async () => {
    await platform.destroy()
    await app.remove()
    await rm(folder, { recursive: true, force: true })
  })

  test('are the ones that clients see, and URLs are https', async () => {
    const deployed = await app.deploy()
    assert.match(deployed, new RegExp(`https://shop\\.localhost:${String(port)}/`))
    const ca = await readFile(join(folder, 'cert.pem'), 'utf8')
    const { subject } = await certificate(port, 'shop.localhost', ca)
    assert.equal(subject.CN, 'given')
    assert.match(await getHttps(port, { ca }), /^probe/)
  })

  test('one without the other is an error that names both', async () => {
    const env = Object.fromEntries(
      Object.entries(platform.env).filter(([name]) => name !== 'FAIRWAY_TLS_KEY'),
    )
    const cli = join(import.meta.dirname, '../../src/bin/cli.ts')
    const failed = await runToEnd(process.execPath, [cli, 'up'], { env })
    assert.equal(failed.code, 2)
    assert.match(failed.stderr, /FAIRWAY_TLS_CERT and FAIRWAY_TLS_KEY belong together/)
  })
})

function getHttps(port: number, options: { readonly ca?: string }): Promise<string> {
  return new Promise((resolve, reject) => {
    const host = 'shop.localhost'
    const target = { host: '127.0.0.1', port, servername: host, headers: { host }, agent: false }
    const outgoing = request({ ...target, ...options }, (response) => {
      resolve(streamText(response))
    })
    outgoing.once('error', reject)
    outgoing.end()
  })
}

async function streamText(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function certificate(port: number, servername: string, ca: string): Promise<PeerCertificate> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, servername, ca }, () => {
      resolve(socket.getPeerCertificate())
      socket.destroy()
    })
    socket.once('error', reject)
  })
}

async function has(program: string, argument: string): Promise<string | false> {
  const found = await runToEnd(program, [argument]).catch(() => null)
  return found?.code === 0 ? false : `needs ${program}`
}
