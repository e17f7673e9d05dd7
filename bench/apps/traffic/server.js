// Answers every kind of request that the lost-requests bench sends, and prints each POST's number once, so that duplicates show.
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocketServer } from 'ws'
import { version } from './version.js'

const server = createServer(async (request, response) => {
  const url = new URL(request.url ?? '/', 'http://app')
  response.setHeader('x-version', version)
  if (request.method === 'POST') {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const id = Buffer.concat(chunks).toString()
    process.stdout.write(`POST ${id}\n`)
    response.end(id)
  } else if (url.pathname === '/slow') {
    await sleep(300)
    response.end('slow')
  } else if (url.pathname === '/stream') {
    for (let part = 0; part < 10; part++) {
      response.write(`part ${part}\n`)
      await sleep(100)
    }
    response.end('end\n')
  } else {
    response.end('ok')
  }
})
const sockets = new WebSocketServer({ server, path: '/ws' })
sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
server.listen(process.env.PORT ?? 8080)
