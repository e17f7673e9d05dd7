import assert from 'node:assert/strict'
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import * as packet from 'dns-packet'
import { RouterBed } from '../../test/fakes/router-bed.ts'

const LOOPBACK = { host: '127.0.0.1', port: 0 }

describe('internal names', () => {
  let bed: RouterBed
  let upstream: UdpSocket
  let asked: packet.DecodedPacket[] = []
  let reply = (query: packet.DecodedPacket): Buffer[] => [answerTo(query, '192.0.2.7')]

  before(async () => {
    upstream = createSocket('udp4')
    upstream.on('message', (message, remote) => {
      const query = packet.decode(message)
      asked.push(query)
      for (const answer of reply(query)) upstream.send(answer, remote.port, remote.address)
    })
    await new Promise<void>((resolve) => upstream.bind(0, '127.0.0.1', resolve))
    bed = await RouterBed.start({
      internal: LOOPBACK,
      dns: LOOPBACK,
      resolvers: () => Promise.resolve([{ host: '127.0.0.1', port: upstream.address().port }]),
    })
    await bed.publish([{ id: 't1', weight: 1, address: { host: '127.0.0.1', port: 9 } }], {
      callers: ['127.0.0.1'],
    })
  })
  after(async () => {
    upstream.close()
    await bed.close()
  })

  const port = (): number => bed.router.addresses.dns?.port ?? 0
  const query = (name: string, type: packet.RecordType, id = 4711): Buffer =>
    packet.encode({
      type: 'query',
      id,
      flags: packet.RECURSION_DESIRED,
      questions: [{ type, name }],
    })
  const overUdp = (message: Buffer): Promise<packet.DecodedPacket> =>
    new Promise((resolve) => {
      const socket = createSocket('udp4')
      socket.on('message', (answer) => {
        socket.close()
        resolve(packet.decode(answer))
      })
      socket.send(message, port(), '127.0.0.1')
    })
  const overTcp = (message: Buffer): Promise<packet.DecodedPacket> =>
    new Promise((resolve) => {
      const socket = connect(port(), '127.0.0.1')
      const length = Buffer.alloc(2)
      length.writeUInt16BE(message.length)
      // In two pieces, as TCP may cut it.
      socket.write(length)
      socket.write(message)
      let input = Buffer.alloc(0)
      socket.on('data', (chunk) => {
        input = Buffer.concat([input, chunk])
        if (input.length < 2 || input.length < 2 + input.readUInt16BE(0)) return
        socket.destroy()
        resolve(packet.decode(input.subarray(2)))
      })
    })

  test('a known caller finds the processes of its environment, over UDP and TCP', async () => {
    for (const ask of [overUdp, overTcp]) {
      for (const name of ['web.app.internal', 'app.internal', 'APP.Internal']) {
        const answer = await ask(query(name, 'A'))
        assert.equal(answer.id, 4711)
        assert.equal(codeOf(answer), 0)
        assert.deepEqual(
          answer.answers?.map((one) => ('data' in one ? one.data : null)),
          ['127.0.0.1'],
        )
      }
      const six = await ask(query('app.internal', 'AAAA'))
      assert.equal(codeOf(six), 0)
      assert.deepEqual(six.answers, [])
    }
    assert.deepEqual(asked, [])
  })

  test('other internal names do not exist, and are never asked outside', async () => {
    for (const name of ['other.internal', 'worker.app.internal', 'a.b.app.internal', 'internal']) {
      assert.equal(codeOf(await overUdp(query(name, 'A'))), 3, name)
    }
    assert.deepEqual(asked, [])
  })

  test('unknown callers find nothing', async () => {
    await bed.publish([{ id: 't1', weight: 1, address: { host: '127.0.0.1', port: 9 } }])
    assert.equal(codeOf(await overUdp(query('app.internal', 'A'))), 3)
  })

  test('the rest is forwarded with an id of its own, and forged answers are ignored', async () => {
    asked = []
    reply = (sent) => [
      answerTo({ ...sent, id: ((sent.id ?? 0) + 1) & 0xffff }, '203.0.113.1'),
      answerTo({ ...sent, questions: [{ type: 'A', name: 'evil.example' }] }, '203.0.113.2'),
      answerTo(sent, '192.0.2.7'),
    ]
    const ids = new Set<number | undefined>()
    for (let round = 0; round < 5; round++) {
      const answer = await overUdp(query('example.com', 'A', 7))
      assert.equal(answer.id, 7)
      assert.deepEqual(
        answer.answers?.map((one) => ('data' in one ? one.data : null)),
        ['192.0.2.7'],
      )
    }
    for (const { id } of asked) ids.add(id)
    assert.equal(ids.size > 1, true)
  })

  test('what is not a query gets no answer', async () => {
    const socket = createSocket('udp4')
    let answered = false
    socket.on('message', () => (answered = true))
    socket.send(Buffer.from('garbage'), port(), '127.0.0.1')
    socket.send(
      answerTo(packet.decode(query('app.internal', 'A')), '127.0.0.1'),
      port(),
      '127.0.0.1',
    )
    // An answer to a later query proves that the earlier ones were dropped.
    await overUdp(query('other.internal', 'A'))
    assert.equal(answered, false)
    socket.close()
  })
})

function answerTo(query: packet.DecodedPacket, data: string): Buffer {
  const question = query.questions?.[0]
  return packet.encode({
    type: 'response',
    id: query.id ?? 0,
    flags: packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE,
    questions: question === undefined ? [] : [question],
    answers: [{ type: 'A', name: question?.name ?? '', ttl: 60, data }],
  })
}

function codeOf(answer: packet.DecodedPacket): number {
  return (answer.flags ?? 0) & 15
}
