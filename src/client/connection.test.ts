import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { after, test } from 'node:test'
import { problemBody, scriptedServer, type Script } from '../../test/fakes/scripted-server.ts'
import { BODIES } from './bodies.ts'
import { ClientError } from './client-error.ts'
import { Connection, serverUrl, type ConnectionOptions } from './connection.ts'

const closing: (() => unknown)[] = []
after(async () => {
  for (const close of closing) await close()
})

async function connected(
  scripts: Readonly<Record<string, readonly Script[]>>,
  options: Partial<ConnectionOptions> = {},
) {
  const server = await scriptedServer(scripts)
  const connection = new Connection({ server: server.url, token: 'fwy_x', ...options })
  closing.push(() => {
    connection.close()
    return server.close()
  })
  return { server, connection }
}

const GET = { method: 'GET', path: '/x' } as const
const HEALTH = BODIES.health
const LINE = { time: 1, stream: 'stdout', instance: 'i', process: 'web', release: 1, text: 'hi' }

function failsWith(code: string, message: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof ClientError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  }
}

test('a call carries the token, a JSON body and its length', async () => {
  const { server, connection } = await connected({ 'POST /x': [{ json: { status: 'ok' } }] })
  await connection.value({ method: 'POST', path: '/x', json: { a: 'ü' } }, HEALTH)
  const [seen] = server.seen
  assert.equal(seen?.headers.authorization, 'Bearer fwy_x')
  assert.equal(seen.headers['content-type'], 'application/json')
  assert.equal(seen.body, '{"a":"ü"}')
  assert.equal(seen.headers['content-length'], '10')
})

test('a path prefix of the server is kept', async () => {
  const { server, connection } = await connected({ 'GET /fairway/x': [{ json: { status: 'ok' } }] })
  const prefixed = new Connection({ server: `${server.url}/fairway/`, token: null })
  await prefixed.value(GET, HEALTH)
  prefixed.close()
  assert.equal(server.seen[0]?.headers.authorization, undefined)
  assert.equal(connection.socketUrl('/y'), `${server.url.replace('http', 'ws')}/y`)
})

test('a problem is thrown with code, hint and details', async () => {
  const json = problemBody('CONFLICT', 'busy', { by: 'ada' })
  const { connection } = await connected({ 'GET /x': [{ status: 409, json }] })
  await assert.rejects(connection.value(GET, HEALTH), (error: unknown) => {
    assert.ok(error instanceof ClientError)
    assert.deepEqual(
      [error.code, error.message, error.hint, error.details, error.status],
      ['CONFLICT', 'busy', 'hint of CONFLICT', { by: 'ada' }, 409],
    )
    return true
  })
})

test('an answer of something else is named as such', async () => {
  const { connection } = await connected({
    'GET /x': [{ status: 502, json: '<html>' }, { json: { status: 'odd' } }],
  })
  await assert.rejects(connection.value(GET, HEALTH), failsWith('SERVER_UNREACHABLE', /502/))
  await assert.rejects(connection.value(GET, HEALTH), failsWith('INTERNAL', /status: expected ok/))
})

test('nobody listening', async () => {
  const free = createServer()
  await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve))
  const address = free.address()
  await new Promise((resolve) => free.close(resolve))
  const port = typeof address === 'object' ? address?.port : 0
  const connection = new Connection({ server: `http://127.0.0.1:${String(port)}`, token: null })
  await assert.rejects(
    connection.value(GET, HEALTH),
    failsWith('SERVER_UNREACHABLE', /no server answers at/),
  )
})

test('no answer in time', async () => {
  const { connection } = await connected({ 'GET /x': [{ by: () => undefined }] }, { timeoutMs: 50 })
  await assert.rejects(connection.value(GET, HEALTH), failsWith('TIMEOUT', /no answer within/))
})

test('lines: empty ones are skipped, a problem among them is thrown, pieces are joined', async () => {
  const text = `\n${JSON.stringify(LINE)}\n\n${JSON.stringify({ ...LINE, text: 'ünd' })}\n`
  const bytes = Buffer.from(text + `${JSON.stringify(problemBody('INTERNAL', 'broke'))}\n`)
  const { connection } = await connected({
    'GET /x': [
      {
        by: (_, response) => {
          void (async () => {
            for (const byte of bytes) {
              response.write(Buffer.from([byte]))
              await new Promise(setImmediate)
            }
            response.end()
          })()
        },
      },
    ],
  })
  const got: string[] = []
  await assert.rejects(
    async () => {
      for await (const line of connection.lines(GET, BODIES.logs)) got.push(line.text)
    },
    failsWith('INTERNAL', /broke/),
  )
  assert.deepEqual(got, ['hi', 'ünd'])
})

test('a silent stream is given up, an aborted one ends the request', async () => {
  const closed = Promise.withResolvers<undefined>()
  const hold: Script = {
    by: (_, response) => {
      response.on('close', () => {
        closed.resolve(undefined)
      })
      response.write(`${JSON.stringify(LINE)}\n`)
    },
  }
  const { connection } = await connected({ 'GET /x': [hold] }, { idleMs: 60 })
  await assert.rejects(
    async () => {
      for await (const line of connection.lines(GET, BODIES.logs)) assert.equal(line.text, 'hi')
    },
    failsWith('SERVER_UNREACHABLE', /silent/),
  )
  const controller = new AbortController()
  await assert.rejects(async () => {
    const call = { ...GET, signal: controller.signal }
    for await (const line of connection.lines(call, BODIES.logs)) {
      assert.equal(line.text, 'hi')
      controller.abort()
    }
  })
  await closed.promise
})

test('a refusal that comes before the body was read counts more than the broken pipe', async () => {
  const { connection } = await connected({
    'POST /x': [
      {
        by: (_request, response) => {
          response.writeHead(413, { connection: 'close' })
          response.end(JSON.stringify(problemBody('TOO_LARGE', 'too much')))
        },
      },
    ],
  })
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (let n = 0; n < 500; n++) yield await Promise.resolve(Buffer.alloc(1 << 16))
  }
  const bytes = { size: 500 * (1 << 16), chunks: endless() }
  await assert.rejects(
    connection.value({ method: 'POST', path: '/x', bytes }, HEALTH),
    failsWith('TOO_LARGE', /too much/),
  )
})

test('what is no URL of a server is refused', () => {
  for (const text of ['', 'localhost:7070', 'ftp://x', 'nonsense']) {
    assert.throws(() => serverUrl(text), ClientError, text)
  }
})
