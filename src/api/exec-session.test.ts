import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import { WebSocket } from 'ws'
import { INSTANCE } from '../../test/fakes/fake-platform.ts'
import { createTestApi, listen, type TestApi } from '../../test/fakes/test-api.ts'
import { until } from '../../test/fakes/until.ts'
import { decodeExecBytes, encodeExecBytes } from '../contract/exec-message.ts'

const PATH = `/v1/apps/shop/production/instances/${INSTANCE}/exec`
const START = { type: 'start', argv: ['echo'], tty: false }

async function serve(t: TestContext, limits = {}): Promise<TestApi & { readonly port: number }> {
  const setup = await createTestApi({ limits })
  const port = await listen(setup.api)
  t.after(() => setup.api.close())
  return { ...setup, port }
}

class Client {
  readonly messages: unknown[] = []
  readonly bytes: Record<number, string> = {}
  closeCode: number | null = null
  readonly #socket: WebSocket

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('error', () => undefined)
    socket.on('close', (code) => (this.closeCode = code))
    socket.on('message', (data: Buffer, isBinary) => {
      const found = isBinary ? decodeExecBytes(data) : null
      if (found === null) this.messages.push(JSON.parse(data.toString('utf8')))
      else {
        const { channel, bytes } = found
        this.bytes[channel] = (this.bytes[channel] ?? '') + Buffer.from(bytes).toString('utf8')
      }
    })
  }

  static async open(port: number, token: string, path = PATH): Promise<Client> {
    const headers = { authorization: `Bearer ${token}` }
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers })
    const client = new Client(socket)
    await new Promise((resolve, reject) => {
      socket.once('open', resolve)
      socket.once('unexpected-response', (_, response) => {
        reject(new Error(`status ${response.statusCode ?? 0}`))
      })
      socket.once('error', reject)
    })
    return client
  }

  tell(message: unknown): void {
    this.#socket.send(typeof message === 'string' ? message : JSON.stringify(message))
  }

  write(channel: number, text: string): void {
    this.#socket.send(encodeExecBytes(channel, Buffer.from(text)))
  }

  leave(): void {
    this.#socket.terminate()
  }

  async closed(): Promise<number> {
    await until('the connection is closed', () => this.closeCode !== null)
    return this.closeCode ?? 0
  }
}

test('standard input, output, error and exit travel over the socket', async (t) => {
  const { port, tokens, platform } = await serve(t)
  const client = await Client.open(port, tokens.developer)
  client.tell(START)
  client.write(0, 'hello ')
  client.write(0, 'world')
  client.tell({ type: 'eof' })
  assert.equal(await client.closed(), 1000)
  assert.deepEqual(client.messages, [
    { type: 'started' },
    { type: 'exit', code: 3, signal: null, reason: 'exited' },
  ])
  assert.deepEqual(client.bytes, { 1: 'HELLO WORLD', 2: 'bye' })
  assert.ok(platform.calls.includes('exec echo shop/production'))
})

test('a megabyte goes through unchanged', async (t) => {
  const { port, tokens } = await serve(t)
  const client = await Client.open(port, tokens.developer)
  client.tell(START)
  for (let n = 0; n < 20; n += 1) client.write(0, 'ab'.repeat(32 * 1024))
  client.tell({ type: 'eof' })
  await client.closed()
  assert.equal(client.bytes[1], 'AB'.repeat(20 * 32 * 1024))
})

test('a terminal is resized', async (t) => {
  const { port, tokens } = await serve(t)
  const client = await Client.open(port, tokens.developer)
  client.tell({ ...START, tty: true, columns: 80, rows: 24 })
  client.tell({ type: 'resize', columns: 100, rows: 50 })
  client.tell({ type: 'eof' })
  await client.closed()
  assert.equal(client.bytes[1], '80x24 100x50 ')
})

test('a client that leaves ends the command', async (t) => {
  const { port, tokens, platform } = await serve(t)
  const client = await Client.open(port, tokens.developer)
  client.tell(START)
  await until('it has started', () => client.messages.length === 1)
  client.leave()
  await until('the command is killed', () => platform.kills === 1)
})

test('closing the server ends the session', async (t) => {
  const { api, port, tokens, platform } = await serve(t)
  const client = await Client.open(port, tokens.developer)
  client.tell(START)
  await until('it has started', () => client.messages.length === 1)
  await api.close()
  assert.equal(await client.closed(), 1001)
  assert.equal(platform.kills, 1)
})

for (const [name, messages] of [
  ['no JSON', ['nonsense']],
  ['no argv', [{ type: 'start', argv: [], tty: false }]],
  ['an unknown key', [{ ...START, root: true }]],
  ['no start', [{ type: 'eof' }]],
  ['two starts', [START, START]],
  ['an unknown type', [START, { type: 'signal', name: 'KILL' }]],
] as const) {
  test(`${name}: an error message, then the end`, async (t) => {
    const { port, tokens } = await serve(t)
    const client = await Client.open(port, tokens.developer)
    for (const message of messages) client.tell(message)
    assert.equal(await client.closed(), 1008)
    assert.match(JSON.stringify(client.messages.at(-1)), /"type":"error".*"INVALID_REQUEST"/)
  })
}

test('an unknown instance and an unknown channel are error messages', async (t) => {
  const { port, tokens } = await serve(t)
  const other = await Client.open(port, tokens.developer, PATH.replace(INSTANCE, 'web-9-zzz'))
  other.tell(START)
  assert.equal(await other.closed(), 1008)
  assert.match(JSON.stringify(other.messages), /"NOT_FOUND"/)
  const client = await Client.open(port, tokens.developer)
  client.tell(START)
  client.write(7, 'x')
  assert.equal(await client.closed(), 1008)
})

test('a message above the limit ends the connection', async (t) => {
  const { port, tokens, platform } = await serve(t)
  const client = await Client.open(port, tokens.developer)
  client.tell(START)
  await until('it has started', () => client.messages.length === 1)
  client.write(0, 'x'.repeat(1024 * 1024))
  assert.equal(await client.closed(), 1009)
  await until('the command is killed', () => platform.kills === 1)
})

test('who may not is refused before the upgrade, and the connection is closed', async (t) => {
  const { port, tokens } = await serve(t)
  await assert.rejects(Client.open(port, tokens.viewer), /status 403/)
  await assert.rejects(Client.open(port, 'garbage'), /status 401/)
  await assert.rejects(Client.open(port, tokens.developer, '/v1/apps'), /status 400/)
  await assert.rejects(Client.open(port, tokens.developer, '/v1/nothing'), /status 404/)
  await assert.rejects(Client.open(port, tokens.developer, '/v1/health'), /status 400/)
})

test('half a handshake is refused', async (t) => {
  const { port, tokens } = await serve(t)
  const socket = connect(port, '127.0.0.1')
  let answer = ''
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')))
  socket.write(
    `GET ${PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${tokens.developer}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
  )
  await new Promise((resolve) => socket.once('close', resolve))
  assert.match(answer, /^HTTP\/1\.1 400 /)
})

test('another Upgrade (h2c) is answered as an ordinary request', async (t) => {
  const { port } = await serve(t)
  const socket = connect(port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write(
    'GET /v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n',
  )
  const [chunk] = await new Promise<Buffer[]>((resolve) => {
    socket.once('data', (...all: Buffer[]) => resolve(all))
  })
  assert.match(String(chunk), /^HTTP\/1\.1 200 /)
})
