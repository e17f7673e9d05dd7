import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { after, before, suite, test } from 'node:test'
import { RegistryForward } from './registry-forward.ts'

suite('passing connections on to a registry', () => {
  const forward = new RegistryForward(null)
  const echo = createServer((socket) => socket.pipe(socket))
  let port = 0

  before(async () => {
    await once(echo.listen(0, '127.0.0.1'), 'listening')
    port = await forward.listen('127.0.0.1', 0)
  })

  after(async () => {
    await forward.close()
    echo.close()
  })

  test('without a target the connection is refused', async () => {
    const [error] = (await once(ask('x'), 'error')) as [Error]
    assert.match(error.message, /ECONNRESET/)
  })

  test('a target set later gets what is sent, and answers', async () => {
    forward.target = `127.0.0.1:${String((echo.address() as AddressInfo).port)}`
    const socket = ask('hello')
    const [answer] = (await once(socket, 'data')) as [Buffer]
    assert.equal(answer.toString(), 'hello')
    socket.destroy()
  })

  test('a target where nobody listens ends the connection', async () => {
    forward.target = '127.0.0.1:1'
    const socket = ask('x')
    socket.on('error', () => undefined)
    await once(socket, 'close')
  })

  function ask(text: string): Socket {
    const socket = connect(port, '127.0.0.1')
    socket.write(text)
    return socket
  }
})
