/** What somebody without any good token can do at the door for identities: through the real listener. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import { until } from '../../test/fakes/until.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { FairwayError } from '../model/errors.ts'
import type { AccessGate } from '../model/kube-access.ts'
import { LocalAuthority } from '../router/local-authority.ts'
import { createAccessServer } from './access-server.ts'

const PATH = '/clusters/prod/instance-identity'
const unused = (): never => {
  throw new Error('nobody asks')
}
const gate: AccessGate = {
  discovery: unused,
  keys: unused,
  admit: unused,
  door: unused,
  way: unused,
  isWebhook: unused,
}

async function open(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-door-'))
  const authority = await LocalAuthority.open(folder, () => systemClock.now())
  const failures: unknown[] = []
  let expected = 0
  const listening = createAccessServer({
    gate,
    tls: await authority.files('localhost'),
    clock: systemClock,
    log: { ...silentLog, error: (fields) => failures.push(fields) },
    record: () => undefined,
    identities: {
      expect: (_target, token) => {
        expected += 1
        return token === 'meant'
          ? Promise.resolve()
          : Promise.reject(new FairwayError('UNAUTHENTICATED', 'none for this'))
      },
      certify: unused,
      jwtSvid: unused,
      validateJwtSvid: unused,
    },
  })
  listening.server.listen(0, '127.0.0.1')
  await once(listening.server, 'listening')
  t.after(async () => {
    await listening.close()
    await rm(folder, { recursive: true })
  })
  const address = listening.server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const call = async (token: string, length: number): Promise<TLSSocket> => {
    const socket = connect({ port, ca: authority.certificatePem, servername: 'localhost' })
    socket.on('error', () => undefined)
    await once(socket, 'secureConnect')
    socket.write(
      `POST ${PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\ncontent-length: ${String(length)}\r\n\r\n{`,
    )
    return socket
  }
  return { port, ca: authority.certificatePem, failures, call, expected: () => expected }
}

test('a caller that leaves in the middle is no failure of the server', async (t) => {
  const { call, failures, expected } = await open(t)
  const sockets = [await call('meant', 100), await call('meant', 100)]
  await until('both are read', () => expected() === 2)
  for (const socket of sockets) socket.destroy()
  // Answered after those two were given up.
  const refused = await call('other', 1)
  await once(refused, 'data')
  refused.destroy()
  assert.deepEqual(failures, [])
})

test('whose token is none for this is told before anything more is read', async (t) => {
  const { call } = await open(t)
  const socket = await call('other', 20_000)
  const [answer] = (await once(socket, 'data')) as [Buffer]
  assert.match(answer.toString(), /^HTTP\/1\.1 401 /)
  socket.destroy()
})

test('a body that is too large, and one that never ends, are given up', async (t) => {
  const { port, ca, call } = await open(t)
  const status = await new Promise<unknown>((resolve) => {
    const headers = { authorization: 'Bearer meant' }
    const options = { ...{ host: '127.0.0.1', port, ca }, servername: 'localhost', path: PATH }
    const asked = request({ ...options, method: 'POST', agent: false, headers }, (response) =>
      resolve(response.statusCode),
    )
    asked.on('error', resolve)
    asked.end(Buffer.alloc(70_000))
  })
  assert.equal(status, 413)
  const slow = await call('meant', 100)
  await once(slow, 'close')
})
