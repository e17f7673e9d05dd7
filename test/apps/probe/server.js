// Does what a request says: calls others, misbehaves, logs. So that one image shows what an app can and cannot do from inside.
import { spawn } from 'node:child_process'
import { lookup } from 'node:dns/promises'
import { createHash } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'
import { createServer } from 'node:http'
import { call } from './call.js'

const { FAIRWAY_APP, FAIRWAY_RELEASE = '?', GREETING = 'probe', PORT = '3000' } = process.env
let sick = false
const kept = []
const served = new Map()

const answers = {
  '/': () => `${GREETING} (release ${FAIRWAY_RELEASE}, pid ${process.pid})`,
  '/healthz': (_query, response) => {
    if (sick) response.statusCode = 503
    return sick ? 'sick' : 'well'
  },
  '/maybe': (_query, response) => {
    if (process.env.FAIL) response.statusCode = 500
    return process.env.FAIL ? 'fails as told' : 'fine'
  },
  '/metrics': () => metrics(),
  '/env': ({ name }) => process.env[name] ?? '',
  '/host': () => process.env.HOSTNAME ?? '',
  '/call': async ({ url }) => JSON.stringify(await call(url)),
  '/resolve': async ({ name }) =>
    lookup(name).then(
      ({ address }) => address,
      (error) => error.code,
    ),
  '/wait': ({ ms }) => new Promise((resolve) => setTimeout(() => resolve('waited'), Number(ms))),
  '/slow': () => new Promise((resolve) => setTimeout(() => resolve('slow'), 1000)),
  '/sick': () => String((sick = true)),
  '/exit': ({ code }) => {
    setTimeout(() => process.exit(Number(code)), 20)
    return 'exits'
  },
  '/log': ({ text, count = '1' }) => {
    for (let number = 0; number < Number(count); number++) console.log(text)
    return 'logged'
  },
  '/eat-memory': () => {
    setInterval(() => kept.push(Buffer.alloc(16 << 20, 1)), 20)
    return 'eats'
  },
  '/fork-bomb': () => {
    bomb()
    return 'forks'
  },
  '/fill-disk': ({ megabytes }) => fill(Number(megabytes)),
  '/flood-log': ({ seconds }) => {
    const end = Date.now() + Number(seconds) * 1000
    const line = 'flood '.repeat(200)
    const timer = setInterval(() => {
      if (Date.now() > end) clearInterval(timer)
      else for (let number = 0; number < 200; number++) console.log(line)
    }, 1)
    return 'floods'
  },
}

createServer(async (request, response) => {
  const url = new URL(request.url ?? '/', 'http://probe')
  const answer = answers[url.pathname]
  const began = performance.now()
  response.on('finish', () => count(url.pathname, response.statusCode, performance.now() - began))
  try {
    if (answer === undefined) response.statusCode = 404
    response.end(`${await answer?.(Object.fromEntries(url.searchParams), response)}\n`)
  } catch (error) {
    response.statusCode = 500
    response.end(`${error.code ?? error.message}\n`)
  }
})
  .on('upgrade', greetWebSocket)
  .listen(Number(PORT), () => console.log(`probe ${FAIRWAY_APP ?? ''} listens`))

// One text frame, and the connection ends.
function greetWebSocket(request, socket) {
  const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
  const accept = createHash('sha1').update(key).digest('base64')
  socket.on('error', () => undefined)
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
  socket.end(Buffer.concat([Buffer.from([0x81, GREETING.length]), Buffer.from(GREETING)]))
}

const BOUNDS = [0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, Infinity]

function count(route, status, ms) {
  const labels = `http_route="${answers[route] ? route : ''}",http_response_status_code="${status}"`
  const buckets = served.get(labels) ?? BOUNDS.map(() => 0)
  served.set(
    labels,
    buckets.map((number, index) => number + (ms <= BOUNDS[index] * 1000 ? 1 : 0)),
  )
}

// As the semantic conventions of OpenTelemetry name them, in the text format of Prometheus.
function metrics() {
  const name = 'http_server_request_duration_seconds'
  return [...served]
    .flatMap(([labels, buckets]) => [
      ...buckets.map((number, index) => {
        const le = BOUNDS[index] === Infinity ? '+Inf' : BOUNDS[index]
        return `${name}_bucket{${labels},le="${le}"} ${number}`
      }),
      `${name}_count{${labels}} ${buckets.at(-1)}`,
    ])
    .join('\n')
}

function bomb() {
  setInterval(() => {
    for (let number = 0; number < 4; number++) {
      const child = spawn(process.execPath, ['-e', BOMB], { stdio: 'ignore' })
      child.on('error', () => undefined)
    }
  }, 5)
}

const BOMB = `setInterval(() => require('node:child_process')
  .spawn(process.execPath, ['-e', process.argv[1] ?? 'setInterval(() => {}, 9)'], { stdio: 'ignore' })
  .on('error', () => {}), 5)`

function fill(megabytes) {
  const file = openSync('/tmp/full', 'w')
  const block = Buffer.alloc(1 << 20, 1)
  try {
    for (let number = 0; number < megabytes; number++) {
      try {
        writeSync(file, block)
      } catch (error) {
        return `${error.code} after ${number} MiB`
      }
    }
    return `no limit in ${megabytes} MiB`
  } finally {
    closeSync(file)
  }
}
