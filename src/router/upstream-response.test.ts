import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { RawClient, RawServer, RouterBed } from '../../test/fakes/router-bed.ts'

/** Answers that a target must not give; the client gets 502 and nothing of them. */
const INVALID: readonly (readonly [string, string])[] = [
  [
    'CL and TE',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['two CL', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok'],
  ['TE unknown', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok'],
  ['TE in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['bare LF', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
  ['bare CR in a value', 'HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: x\r\nContent-Length: 2\r\n\r\nok'],
  ['LF in a value', 'HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: x\r\nContent-Length: 2\r\n\r\nok'],
  ['NUL in a value', 'HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 2\r\n\r\nok'],
  ['folded field', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok'],
  ['field name with blank', 'HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nok'],
  ['status of two digits', 'HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok'],
  ['status of four digits', 'HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok'],
  ['status 099', 'HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok'],
  ['HTTP/2.0', 'HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
  ['not HTTP', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
  ['empty line first', '\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'],
  [
    '101 that nobody asked for',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  ],
  [
    '1xx with a body',
    'HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n',
  ],
  ['head over 16 KB', `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`],
]

describe('answers of targets', () => {
  let bed: RouterBed
  let upstream: RawServer
  let answer: string | null = ''

  before(async () => {
    bed = await RouterBed.start()
    upstream = await RawServer.start((socket) => {
      socket.on('data', () => {
        if (answer === null) socket.destroy()
        else socket.write(Buffer.from(answer, 'latin1'))
      })
    })
    await bed.publish([upstream.target()])
  })
  after(async () => {
    await bed.close()
    await upstream.close()
  })

  const ask = async (method = 'GET'): Promise<string> => {
    const client = new RawClient(bed.port)
    client.send(`${method} / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n`)
    return client.untilClosed()
  }

  for (const [name, text] of INVALID) {
    test(`${name}: 502`, async () => {
      answer = text
      const received = await ask()
      assert.match(received, /^HTTP\/1\.1 502 /)
      assert.match(received, /\r\nX-Fairway-Error: upstream-invalid\r\n/)
      assert.doesNotMatch(received, /Set-Cookie|ok$/)
    })
  }

  test('a target that closes without an answer: 502', async () => {
    answer = null
    assert.match(await ask(), /^HTTP\/1\.1 502 [^]*upstream-closed/)
  })

  test('hop-by-hop fields stay behind', async () => {
    answer =
      'HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=9\r\nX-Hop: 1\r\nProxy-Connection: x\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nok'
    assert.equal(
      await ask(),
      'HTTP/1.1 200 OK\r\nX-End: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok',
    )
  })

  test('HEAD, 204 and 304 have no body, whatever they announce', async () => {
    answer = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'
    assert.match(await ask('HEAD'), /Content-Length: 5\r\nConnection: close\r\n\r\n$/)
    answer = 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n'
    assert.match(await ask(), /^HTTP\/1\.1 304 [^]*\r\n\r\n$/)
    answer = 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n'
    assert.doesNotMatch(await ask(), /Content-Length/)
  })

  test('bytes behind an answer are dropped with their connection', async () => {
    answer =
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'
    const before = upstream.accepted
    for (let round = 0; round < 3; round++) assert.match(await ask(), /\r\n\r\nok$/)
    assert.equal(upstream.accepted - before >= 2, true)
  })

  test('a chunked answer that is damaged ends without its last chunk', async () => {
    answer = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nX\r\n'
    const received = await ask()
    assert.doesNotMatch(received, /\r\n0\r\n\r\n$/)
  })

  test('early hints pass, and the final answer after them', async () => {
    answer =
      'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
    assert.match(
      await ask(),
      /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a>\r\n\r\nHTTP\/1\.1 200 OK\r\n[^]*ok$/,
    )
  })

  test('early hints without end are an invalid answer; a few at each request are fine', async () => {
    const hints = (count: number): string => 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(count)
    answer = hints(1000)
    const received = await ask()
    assert.match(received, /HTTP\/1\.1 502 /)
    assert.ok((received.match(/ 103 /g) ?? []).length <= 16)
    answer = `${hints(10)}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`
    const client = new RawClient(bed.port)
    client.send('GET / HTTP/1.1\r\nHost: app.test\r\n\r\n'.repeat(2))
    client.send('GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n')
    assert.equal((await client.untilClosed()).match(/ 200 OK/g)?.length, 3)
  })
})
