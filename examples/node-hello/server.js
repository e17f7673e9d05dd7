import { createServer } from 'node:http'

const message = process.env.MESSAGE ?? 'Hello from Fairway'
const release = process.env.FAIRWAY_RELEASE ?? '?'

createServer((request, response) => {
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(`${message} (release ${release})\n`)
}).listen(process.env.PORT ?? 3000)
