import assert from 'node:assert/strict'
import { once } from 'node:events'
import { cp, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { WebSocket } from 'ws'
import { run } from '../../src/lib/process.ts'
import { containersWork } from '../containers-work.ts'
import { artifact, cache, mavenJar, reaches } from './artifacts.ts'
import { lacks } from './lacks.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { askThrough, type RoutedRequest } from './routed.ts'

const examples = resolve(import.meta.dirname, '../../examples')

/** Software of Maven Central, the Go module proxy and PyPI, fetched by their ordinary clients and deployed by the words of examples/. */
const jetty = await artifact(
  'jetty-runner-9.4.58.v20250814.jar',
  mavenJar('org.eclipse.jetty:jetty-runner:9.4.58.v20250814'),
)
const h2 = await artifact('h2-2.3.232.jar', mavenJar('com.h2database:h2:2.3.232'))
const goHttpbin = await artifact('go-httpbin', goProgram)
const pypi = await reaches('PyPI', 'python3', [
  '-m',
  'pip',
  'download',
  '-q',
  '--no-deps',
  '-d',
  join(cache, 'pypi'),
  'six==1.17.0',
])

for (const runner of ['container', 'process'] as const) {
  const skip = runner === 'container' ? await containersWork() : false
  /** The host's own runtime is used where there are no containers. */
  const hostLacks = (...programs: string[]): string | false =>
    runner === 'process' && lacks(...programs)

  describe(`inputs of other registries on runner ${runner}`, { skip, timeout: 900_000 }, () => {
    let platform: PrivatePlatform
    let scratch: string
    before(async () => {
      scratch = await mkdtemp(join(tmpdir(), 'fairway-inputs-'))
      platform = await startPrivatePlatform({ runner, subnet: '10.221.128.0/17' })
    })
    after(async () => {
      await platform.destroy()
      await rm(scratch, { recursive: true, force: true })
    })
    const ask = (app: string, path: string, request?: RoutedRequest) =>
      askThrough(platform.httpPort, `${app}.localhost`, path, request)
    const folderOf = async (name: string, files: readonly string[] = []): Promise<string> => {
      const folder = join(scratch, name)
      await cp(join(examples, name), folder, { recursive: true })
      for (const file of files) await cp(join(cache, file), join(folder, file))
      return folder
    }

    test(
      'jetty-runner with a war',
      { skip: jetty || lacks('jar') || hostLacks('java') },
      async () => {
        const folder = await folderOf('jetty-war', ['jetty-runner-9.4.58.v20250814.jar'])
        await run('jar', ['-cf', '../site.war', '.'], { cwd: join(folder, 'site') })
        await platform.must(['deploy'], { cwd: folder })
        const page = await ask('jetty-war', '/')
        assert.equal(page.status, 200)
        assert.match(page.body, /Hello from a war/)
        assert.equal((await ask('jetty-war', '/nothing')).status, 404)
      },
    )

    test('the H2 console, a jar alone', { skip: h2 || hostLacks('java') }, async () => {
      const folder = await folderOf('h2-console', ['h2-2.3.232.jar'])
      await rename(join(folder, 'h2-2.3.232.jar'), join(folder, 'h2.jar'))
      await platform.must(['deploy', 'h2.jar'], { cwd: folder })
      const page = await ask('h2-console', '/')
      assert.equal(page.status, 200)
      assert.match(page.body, /<title>H2 Console<\/title>/)
      const session = /jsessionid=[0-9a-f]+/.exec(page.body)?.[0] ?? ''
      const login = await ask('h2-console', `/login.jsp?${session}`)
      assert.match(login.body, /jdbc:h2:/)
    })

    test('go-httpbin, a static binary alone', { skip: goHttpbin }, async () => {
      const app = runner === 'container' ? 'httpbin' : 'httpbin-host'
      await platform.must(['deploy', join(cache, 'go-httpbin'), '--app', app])
      const get = await ask(app, '/get?a=1')
      assert.equal(get.status, 200)
      assert.match(get.body, /"a":\s*\[\s*"1"\s*\]/)
      assert.equal((await ask(app, '/status/418')).status, 418)
      const stream = await ask(app, '/stream/3')
      assert.equal(stream.body.trim().split('\n').length, 3)
      const posted = await ask(app, '/post', {
        method: 'POST',
        headers: { 'content-type': 'text/plain' },
        body: 'x'.repeat(100_000),
      })
      assert.equal(posted.status, 200)
      assert.ok(posted.body.includes('x'.repeat(100_000)))
      assert.equal(await echoed(platform.httpPort, `${app}.localhost`), 'over and out')
    })

    const python = pypi || hostLacks('python3')
    test('httpbin from PyPI under gunicorn', { skip: python }, async () => {
      await platform.must(['deploy'], { cwd: await folderOf('python-httpbin') })
      const get = await ask('python-httpbin', '/get?a=1')
      assert.equal(get.status, 200)
      assert.equal(get.headers['server'], 'gunicorn')
      assert.match(get.body, /"a": "1"/)
      assert.equal((await ask('python-httpbin', '/status/418')).status, 418)
    })

    test('datasette from PyPI with a database file', { skip: python }, async () => {
      const folder = await folderOf('datasette')
      await run('python3', ['-c', BOOKS], { cwd: folder })
      await platform.must(['deploy'], { cwd: folder })
      const rows = await ask('datasette', '/books/books.json?_shape=array')
      assert.equal(rows.status, 200)
      assert.deepEqual(JSON.parse(rows.body), [
        { id: 1, title: 'Walden', year: 1854 },
        { id: 2, title: 'Middlemarch', year: 1871 },
      ])
    })
  })
}

const BOOKS = `import sqlite3
db = sqlite3.connect('books.db')
db.execute('create table books (id integer primary key, title text, year integer)')
db.executemany('insert into books (title, year) values (?, ?)', [('Walden', 1854), ('Middlemarch', 1871)])
db.commit()`

function goProgram(folder: string): Promise<string | false> {
  const module = 'github.com/mccutchen/go-httpbin/v2/cmd/go-httpbin@v2.15.0'
  return reaches(
    'the Go module proxy',
    'go',
    ['install', '-trimpath', '-ldflags', '-s -w', module],
    { CGO_ENABLED: '0', GOBIN: folder },
  )
}

async function echoed(port: number, host: string): Promise<string> {
  const socket = new WebSocket(`ws://127.0.0.1:${String(port)}/websocket/echo`, {
    headers: { host },
  })
  try {
    await once(socket, 'open', { signal: AbortSignal.timeout(10_000) })
    socket.send('over and out')
    const [message] = (await once(socket, 'message', {
      signal: AbortSignal.timeout(10_000),
    })) as [Buffer]
    return message.toString('utf8')
  } finally {
    socket.terminate()
  }
}
