import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import {
  connect,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { SetClock } from '../../test/fakes/set-clock.ts'
import { until } from '../../test/fakes/until.ts'
import { silentLog } from '../lib/log.ts'
import { Authority } from './authority.ts'
import type { X509Svid } from './certificate.ts'
import { decodeMessage, encodeMessage, encodeStruct } from './protobuf.ts'
import { WorkloadApi, type Caller } from './workload-api.ts'

const HOUR = 3_600_000
const WEB = { trustDomain: 'example.org', path: '/production/shop/web' }
const RULE = { 'workload.spiffe.io': 'true' }

class OneCaller implements Caller {
  current: X509Svid
  readonly #listeners = new Set<() => void>()

  constructor(first: X509Svid) {
    this.current = first
  }

  get listening(): number {
    return this.#listeners.size
  }

  svid(): X509Svid {
    return this.current
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  renew(svid: X509Svid): void {
    this.current = svid
    for (const listener of this.#listeners) listener()
  }
}

interface Answer {
  readonly status: string
  readonly messages: readonly Buffer[]
}

class Client {
  readonly #session: ClientHttp2Session
  constructor(path: string) {
    this.#session = connect('http://workload', { createConnection: () => createConnection(path) })
    this.#session.on('error', () => undefined)
  }

  /** Ends the call itself once `enough` messages have come. */
  call(
    method: string,
    message: Buffer,
    metadata: OutgoingHttpHeaders = RULE,
    { enough = Infinity, onMessage = (): void => undefined, flag = 0 } = {},
  ): Promise<Answer> {
    const stream = this.#session.request({
      ':method': 'POST',
      ':path': `/SpiffeWorkloadAPI/${method}`,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...metadata,
    })
    const prefix = Buffer.alloc(5)
    prefix.writeUInt8(flag)
    prefix.writeUInt32BE(message.length, 1)
    stream.end(Buffer.concat([prefix, message]))
    let status = ''
    let buffered = Buffer.alloc(0)
    const messages: Buffer[] = []
    stream.on('response', (headers) => (status = String(headers['grpc-status'] ?? '')))
    stream.on('trailers', (headers: IncomingHttpHeaders) => {
      status = String(headers['grpc-status'])
    })
    stream.on('data', (chunk: Buffer) => {
      buffered = Buffer.concat([buffered, chunk])
      while (buffered.length >= 5 && buffered.length >= 5 + buffered.readUInt32BE(1)) {
        const size = buffered.readUInt32BE(1)
        messages.push(buffered.subarray(5, 5 + size))
        buffered = buffered.subarray(5 + size)
        onMessage()
        if (messages.length >= enough) stream.close()
      }
    })
    return new Promise((resolve) => {
      stream.once('error', () => undefined)
      stream.once('close', () => resolve({ status, messages }))
    })
  }

  close(): void {
    this.#session.destroy()
  }
}

const none = Buffer.alloc(0)

describe('the Workload API', () => {
  let folder = ''
  let path = ''
  const clock = new SetClock(Date.UTC(2026, 10, 1))
  const vault = { load: () => Promise.resolve(null), save: () => Promise.resolve() }
  const times = { svidMs: HOUR, rootMs: 1000 * HOUR }
  const authority = new Authority({
    trustDomain: 'example.org',
    vault,
    clock,
    log: silentLog,
    times,
  })
  let caller: OneCaller
  let api: WorkloadApi
  let client: Client

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fw-wl-'))
    path = join(folder, 'workload.sock')
    caller = new OneCaller(await authority.x509Svid(WEB))
    api = new WorkloadApi({ authority, caller, log: silentLog })
    await api.listen(path)
    client = new Client(path)
  })
  after(async () => {
    client.close()
    await api.close()
    await rm(folder, { recursive: true, force: true })
  })

  for (const method of [
    'FetchX509SVID',
    'FetchX509Bundles',
    'FetchJWTBundles',
    'FetchJWTSVID',
    'ValidateJWTSVID',
  ]) {
    test(`${method} wants the metadata that a forged request cannot have`, async () => {
      for (const wrong of [{}, { 'workload.spiffe.io': 'false' }, { 'workload.spiffe.io': '' }]) {
        const { status, messages } = await client.call(method, none, wrong)
        assert.equal(status, '3')
        assert.deepEqual(messages, [])
      }
    })
  }

  test('gives certificate, key and bundle of its one caller', async () => {
    const { messages } = await client.call('FetchX509SVID', none, RULE, { enough: 1 })
    const [svid] = decodeMessage(messages[0] ?? none)?.get(1) ?? []
    const fields = decodeMessage(svid ?? none) ?? new Map<number, Buffer[]>()
    const [name] = fields.get(1) ?? []
    const id = name?.toString()
    assert.equal(id, 'spiffe://example.org/production/shop/web')
    assert.deepEqual(fields.get(2)?.[0], caller.current.certificate)
    assert.deepEqual(fields.get(3)?.[0], caller.current.key)
    await until('the call has ended', () => caller.listening === 0)
  })

  test('sends all again when the SVID or the bundle changes, and nothing while they do not', async () => {
    let came = 0
    const options = { enough: 2, onMessage: () => came++ }
    const call = client.call('FetchX509SVID', none, RULE, options)
    await until('the first', () => came === 1)
    caller.renew(caller.current)
    caller.renew(await authority.x509Svid(WEB))
    const { messages } = await call
    assert.equal(messages.length, 2)
    assert.notDeepEqual(messages[0], messages[1])
  })

  test('an identity is not had for asking for it', async () => {
    const other = encodeMessage([
      [1, 'db'],
      [2, 'spiffe://example.org/production/shop/admin'],
    ])
    assert.equal((await client.call('FetchJWTSVID', other)).status, '7')
    assert.equal((await client.call('FetchJWTSVID', none)).status, '3')
  })

  test('a JWT-SVID is valid for its audience only', async () => {
    const answer = await client.call('FetchJWTSVID', encodeMessage([[1, 'db']]))
    assert.equal(answer.status, '0')
    const [svid] = decodeMessage(answer.messages[0] ?? none)?.get(1) ?? []
    const token =
      decodeMessage(svid ?? none)
        ?.get(2)?.[0]
        ?.toString() ?? ''
    const validate = (audience: string) =>
      client.call('ValidateJWTSVID', encodeMessage([[1, audience], [2, token]])) // prettier-ignore
    assert.equal((await validate('db')).status, '0')
    assert.equal((await validate('other')).status, '3')
  })

  test('answers what it does not understand by a status', async () => {
    assert.equal((await client.call('FetchEverything', none)).status, '12')
    assert.equal((await client.call('FetchX509SVID', none, RULE, { flag: 1 })).status, '12')
    assert.equal((await client.call('FetchJWTSVID', randomBytes(70_000))).status, '8')
    assert.equal((await client.call('FetchJWTSVID', Buffer.from([0xff]))).status, '3')
  })

  test('whatever is sent, the next call is answered', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        const { status } = await client.call('FetchJWTSVID', Buffer.from(bytes))
        assert.ok(['0', '3', '7'].includes(status), status)
      }),
      { numRuns: 50 },
    )
    assert.equal((await client.call('FetchJWTSVID', encodeMessage([[1, 'db']]))).status, '0')
  })

  test('the next server takes the socket over while the earlier one has not let go', async () => {
    const next = new WorkloadApi({ authority, caller, log: silentLog })
    await next.listen(path)
    const another = new Client(path)
    try {
      const { status } = await another.call('FetchJWTSVID', encodeMessage([[1, 'db']]))
      assert.equal(status, '0')
    } finally {
      another.close()
      await next.close()
    }
  })
})

describe('protocol buffers', () => {
  test('texts and bytes are read as they were written', () => {
    const field = fc.tuple(fc.integer({ min: 1, max: 5000 }), fc.uint8Array({ maxLength: 300 }))
    fc.assert(
      fc.property(fc.array(field, { maxLength: 10 }), (fields) => {
        const read = decodeMessage(encodeMessage(fields))
        for (const [number] of fields) {
          const wanted = fields.filter(([each]) => each === number).map(([, value]) => value)
          const found = read?.get(number)?.map((bytes) => new Uint8Array(bytes))
          assert.deepEqual(found, wanted)
        }
      }),
    )
  })

  test('any bytes are a message or none', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        decodeMessage(Buffer.from(bytes))
      }),
    )
  })

  test('a Struct has the fields of the object', () => {
    const struct = encodeStruct({ sub: 'a', exp: 1, aud: ['b'], no: null, yes: true, in: { x: 1 } })
    const entries = decodeMessage(struct)?.get(1) ?? []
    const keys = entries.map((entry) => decodeMessage(entry)?.get(1)?.[0]?.toString())
    assert.deepEqual(keys, ['sub', 'exp', 'aud', 'no', 'yes', 'in'])
  })
})
