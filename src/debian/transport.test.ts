import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { findAptHelper } from './apt-host.ts'
import { DebianError } from './debian-error.ts'
import { AptTransport, FetchTransport, verifyDownload, type Transport } from './transport.ts'

const helper = findAptHelper()
const transports: readonly (readonly [string, (() => Transport) | string])[] = [
  ['fetch', () => new FetchTransport(fetch, 2)],
  ['apt', helper === null ? 'needs apt-helper' : () => new AptTransport(helper)],
]

for (const [name, make] of transports) {
  describe(`by ${name}`, { skip: typeof make === 'string' ? make : false }, () => {
    const server = createServer((request, response) => {
      const path = request.url ?? ''
      if (path.startsWith('/slow')) return
      response.writeHead(path.startsWith('/none') ? 404 : 200)
      response.end(path.startsWith('/none') ? 'no' : `content of ${path}`)
    })
    let folder = ''
    let base = ''
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'transport-'))
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const address = server.address()
      assert.ok(typeof address === 'object' && address !== null)
      base = `http://127.0.0.1:${address.port}`
    })
    after(async () => {
      server.closeAllConnections()
      server.close()
      await rm(folder, { recursive: true })
    })
    const transport = (): Transport => {
      if (typeof make === 'string') throw new Error(make)
      return make()
    }
    const item = (path: string, maxSize = 100) => ({
      ...{ url: `${base}/${path}`, maxSize },
      path: join(folder, path),
    })

    test('many at once; one that is missing does not hinder the others', async () => {
      const items = ['a', 'b', 'none1', 'c~1+b_2', 'd'].map((path) => item(path))
      const reasons = await transport().download(items)
      assert.deepEqual(
        reasons.map((reason) => reason === null),
        [true, true, false, true, true],
      )
      assert.match(reasons[2] ?? '', /404/)
      assert.equal(await readFile(join(folder, 'd'), 'utf8'), 'content of /d')
      assert.ok(!existsSync(join(folder, 'none1')))
      assert.deepEqual(await transport().download([]), [])
    })

    test('what stood at the path is gone, also where nothing comes', async () => {
      await writeFile(join(folder, 'a'), 'content of /a and a long rest of something old')
      await writeFile(join(folder, 'none2'), 'old')
      const reasons = await transport().download([item('a'), item('none2')])
      assert.equal(reasons[0], null)
      assert.equal(await readFile(join(folder, 'a'), 'utf8'), 'content of /a')
      assert.ok(!existsSync(join(folder, 'none2')))
    })

    test('more than was announced is refused', async () => {
      const [reason] = await transport().download([item('large', 4)])
      assert.match(reason ?? '', /larger than expected/)
      assert.ok(!existsSync(join(folder, 'large')))
    })

    test('a server that is not there', async () => {
      const gone = { ...item('gone'), url: 'http://127.0.0.1:1/gone' }
      const [reason] = await transport().download([gone])
      assert.ok(typeof reason === 'string' && reason !== '')
    })

    test('ends at once when told to', async () => {
      const abort = new AbortController()
      const asked = new Promise<void>((resolve) => {
        server.once('request', () => {
          resolve()
        })
      })
      const download = transport().download([item('slow')], abort.signal)
      await asked
      abort.abort()
      await assert.rejects(download, { name: 'AbortError' })
      await assert.rejects(transport().download([item('a')], abort.signal), { name: 'AbortError' })
    })
  })
}

test('a file that differs from what was signed is deleted', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'transport-'))
  try {
    const path = join(folder, 'x')
    await writeFile(path, 'abc')
    const sha256 = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    const item = { url: 'http://archive.example/x', path, maxSize: 10 }
    await verifyDownload(item, { size: 3, sha256 })
    await assert.rejects(verifyDownload(item, { size: 4, sha256 }), (error) => {
      assert.ok(error instanceof DebianError)
      assert.equal(error.code, 'SIGNATURE_INVALID')
      assert.match(error.message, /archive\.example\/x/)
      return true
    })
    assert.ok(!existsSync(path))
  } finally {
    await rm(folder, { recursive: true })
  }
})
