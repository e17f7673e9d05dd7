// Does what its environment says, so that one image shows every way in which an instance can behave.
import { createServer } from 'node:http'

const {
  VERSION = '0',
  READY_AFTER_MS = '0',
  CRASH_AFTER_MS,
  EXIT_CODE = '0',
  IGNORE_TERM,
  NEVER_LISTEN,
  PORT,
} = process.env

console.log(`version ${VERSION} begins`)
if (IGNORE_TERM !== undefined) process.on('SIGTERM', () => console.log('ignoring SIGTERM'))
if (CRASH_AFTER_MS !== undefined) {
  setTimeout(() => {
    console.error('crashing as told')
    process.exit(Number(EXIT_CODE))
  }, Number(CRASH_AFTER_MS))
}
const begun = Date.now()
const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://app')
  if (url.pathname === '/ready')
    response.statusCode = Date.now() - begun >= Number(READY_AFTER_MS) ? 200 : 503
  const wait = Number(url.searchParams.get('wait') ?? 0)
  setTimeout(() => response.end(VERSION), wait)
})
if (NEVER_LISTEN === undefined) server.listen(Number(PORT))
else setInterval(() => undefined, 1000)
