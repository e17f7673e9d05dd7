// Ends as an app behind a plain Service should: after SIGTERM every answer closes its connection, and a connection that is not used any more is closed a little later.
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { version } from './version.js'

const LAST_ANSWERS_MS = 3_000
let ending = false

const server = createServer(async (request, response) => {
  if (request.method === 'POST') {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    answer(response, Buffer.concat(chunks).toString())
  } else if (request.url === '/slow') {
    await sleep(300)
    answer(response, 'slow')
  } else answer(response, version)
})

function answer(response, text) {
  if (ending) response.setHeader('connection', 'close')
  response.end(text)
}

server.keepAliveTimeout = 30_000
server.listen(process.env.PORT ?? 8080)
process.on('SIGTERM', () => {
  ending = true
  setTimeout(() => server.close(() => process.exit(0)), LAST_ANSWERS_MS)
})
