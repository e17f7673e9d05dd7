import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { start } from '../../lib/process.ts'

type ChildProcess = Awaited<ReturnType<typeof start>>

const SITE: Readonly<Record<string, string>> = {
  '/index.html': '<h1>home</h1>',
  '/about.html': 'about',
  '/docs/index.html': 'docs',
  '/app.js': 'console.log(1)',
  '/app.js.gz': 'gzipped',
  '/app.js.br': 'brotli',
  '/data.bin': '0123456789',
  '/empty.txt': '',
  '/über uns.html': 'wir',
  '/404.html': 'not here',
}

const root = mkdtempSync(join(tmpdir(), 'fairway-static-'))
let server: ChildProcess
let port = 0

before(async () => {
  const table: Record<string, unknown> = {}
  for (const [path, text] of Object.entries(SITE)) {
    mkdirSync(join(root, 'site', dirname(path)), { recursive: true })
    writeFileSync(join(root, 'site', path), text)
    const type = path.endsWith('.html') ? 'text/html; charset=utf-8' : 'application/x-test'
    table[path.normalize()] = { type, size: Buffer.byteLength(text), etag: `"${path.length}"` }
  }
  writeFileSync(join(root, 'secret'), 'never')
  writeFileSync(join(root, 'site.json'), JSON.stringify(table))
  server = await start(
    process.execPath,
    [join(import.meta.dirname, 'static-server.js'), join(root, 'site.json'), join(root, 'site')],
    { env: { PORT: '0', HOST: '127.0.0.1' }, stdio: ['ignore', 'pipe', 'inherit'] },
  )
  port = await new Promise<number>((resolve) => {
    server.stdout?.once('data', (chunk: Buffer) => {
      resolve(Number(/port (\d+)/.exec(chunk.toString())?.[1]))
    })
  })
})

after(() => {
  server.kill('SIGKILL')
  rmSync(root, { recursive: true, force: true })
})

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** The path goes out as it is written: fetch would tidy it up. */
function get(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: '127.0.0.1', port, path, method, headers }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (body += chunk))
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body })
      })
    })
    sent.on('error', reject)
    sent.end()
  })
}

test('pages: by name, without .html, of a folder, with non-ASCII names', async () => {
  for (const [path, body] of [
    ['/', '<h1>home</h1>'],
    ['/index.html', '<h1>home</h1>'],
    ['/about', 'about'],
    ['/docs/', 'docs'],
    ['/%C3%BCber%20uns', 'wir'],
    ['/empty.txt', ''],
    ['/about?x=1', 'about'],
  ] as const) {
    const answer = await get(path)
    assert.deepEqual([answer.status, answer.body], [200, body], path)
  }
  const folder = await get('/docs?a=b')
  assert.deepEqual([folder.status, folder.headers.location], [308, '/docs/?a=b'])
})

test('what is not in the table is not there, however it is asked for', async () => {
  for (const path of [
    '/nothing',
    '/../secret',
    '/%2e%2e/secret',
    '/..%2fsecret',
    '//secret',
    '/site.json',
  ]) {
    const answer = await get(path)
    assert.deepEqual([answer.status, answer.body], [404, 'not here'], path)
  }
  assert.equal((await get('/%ff')).status, 400)
  assert.equal((await get('/%00')).status, 400)
  const posted = await get('/', {}, 'POST')
  assert.deepEqual([posted.status, posted.headers.allow], [405, 'GET, HEAD'])
})

test('ETag: 304 on a match, weak or in a list; nothing is kept without asking', async () => {
  const first = await get('/data.bin')
  const { etag } = first.headers
  assert.equal(etag, '"9"')
  assert.equal(first.headers['cache-control'], 'no-cache')
  for (const tag of ['"9"', 'W/"9"', '"1", "9"', '*']) {
    const again = await get('/data.bin', { 'if-none-match': tag })
    assert.deepEqual([again.status, again.body], [304, ''], tag)
  }
  assert.equal((await get('/data.bin', { 'if-none-match': '"8"' })).status, 200)
})

test('ranges as in RFC 9110', async () => {
  for (const [range, status, body, where] of [
    ['bytes=0-0', 206, '0', 'bytes 0-0/10'],
    ['bytes=2-4', 206, '234', 'bytes 2-4/10'],
    ['bytes=7-', 206, '789', 'bytes 7-9/10'],
    ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=-30', 206, '0123456789', 'bytes 0-9/10'],
    ['bytes=5-99', 206, '56789', 'bytes 5-9/10'],
    ['bytes=10-', 416, '', 'bytes */10'],
    ['bytes=-0', 416, '', 'bytes */10'],
    ['bytes=4-2', 200, '0123456789', undefined],
    ['bytes=0-1,4-5', 200, '0123456789', undefined],
    ['lines=1-2', 200, '0123456789', undefined],
  ] as const) {
    const answer = await get('/data.bin', { range })
    assert.deepEqual(
      [answer.status, answer.body, answer.headers['content-range']],
      [status, body, where],
      range,
    )
  }
  assert.equal((await get('/data.bin', { range: 'bytes=0-1', 'if-range': '"old"' })).status, 200)
  assert.equal((await get('/data.bin', { range: 'bytes=0-1', 'if-range': '"9"' })).status, 206)
})

test('compressed files beside a file are taken where the client accepts them', async () => {
  for (const [accept, body, encoding] of [
    ['gzip, br', 'brotli', 'br'],
    ['gzip', 'gzipped', 'gzip'],
    ['br;q=0, gzip;q=0.5', 'gzipped', 'gzip'],
    ['identity', 'console.log(1)', undefined],
  ] as const) {
    const answer = await get('/app.js', { 'accept-encoding': accept })
    assert.deepEqual([answer.body, answer.headers['content-encoding']], [body, encoding], accept)
    assert.equal(answer.headers.vary, 'Accept-Encoding')
    assert.equal(answer.headers['content-type'], 'application/x-test')
  }
})

test('HEAD has the headers of GET and no body', async () => {
  const answer = await get('/data.bin', {}, 'HEAD')
  assert.deepEqual([answer.status, answer.body, answer.headers['content-length']], [200, '', '10'])
})

test('SIGTERM ends it with exit code 0', async () => {
  const ended = new Promise((resolve) => server.once('exit', (code) => resolve(code)))
  server.kill('SIGTERM')
  assert.equal(await ended, 0)
})
