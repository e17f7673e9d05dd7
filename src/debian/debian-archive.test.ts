import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { newKey, NOW, SignedArchive } from '../../test/fakes/signed-archive.ts'
import { ProgramError, runToEnd } from '../lib/process.ts'
import type { AptSource } from './apt-source.ts'
import { DebianArchive, type DebianArchiveOptions } from './debian-archive.ts'
import { DebianError, type DebianErrorCode } from './debian-error.ts'

const hasDpkgDeb = await runToEnd('dpkg-deb', ['--version']).then(
  () => true,
  (error: unknown) => {
    if (error instanceof ProgramError) return false
    throw error
  },
)

describe('an archive', { skip: hasDpkgDeb ? false : 'needs dpkg-deb' }, () => {
  let server: SignedArchive
  let folder: string
  const opened: DebianArchive[] = []
  const warned: string[] = []
  const warn = (_: unknown, message: string): void => void warned.push(message)
  const log = { debug: () => undefined, info: () => undefined, warn, error: () => undefined }

  before(async () => {
    server = await SignedArchive.start()
  })
  after(async () => {
    await server.stop()
  })
  beforeEach(async (context) => {
    folder = await mkdtemp(join(tmpdir(), 'archive-'))
    server.files.clear()
    server.requests.length = 0
    warned.length = 0
    if (!('after' in context)) return
    context.after(async () => {
      for (const archive of opened.splice(0)) archive.close()
      await rm(folder, { recursive: true })
    })
  })

  const source = (fields: Partial<AptSource> = {}): AptSource => ({
    uri: server.uri,
    suite: 'stable',
    components: ['main'],
    signedBy: [{ armored: server.publicKey }],
    ...fields,
  })
  const open = async (options: Partial<DebianArchiveOptions> = {}): Promise<DebianArchive> => {
    const archive = await DebianArchive.open({
      ...{ cacheDir: folder, sources: [source()], architecture: 'amd64', fetch, log },
      ...{ now: () => NOW, ...options },
    })
    opened.push(archive)
    return archive
  }
  const refuses = async (
    what: Promise<unknown>,
    code: DebianErrorCode,
    message: RegExp,
  ): Promise<void> => {
    await assert.rejects(what, (error) => {
      assert.ok(error instanceof DebianError, String(error))
      assert.equal(error.code, code, error.message)
      assert.match(error.message, message)
      return true
    })
  }
  const inRelease = '/debian/dists/stable/InRelease'
  const replace = (path: string, change: (content: Buffer) => Buffer): void => {
    const content = server.files.get(path)
    assert.ok(content !== undefined, path)
    server.files.set(path, change(Buffer.from(content)))
  }
  const text = (before_: string, after_: string) => (content: Buffer) => {
    assert.ok(content.includes(before_))
    return Buffer.from(content.toString('utf8').replace(before_, after_))
  }

  test('from signed index to files and metadata', async () => {
    await server.publish([
      {
        name: 'app',
        version: '2:1.0-1',
        control: ['Source: origin (1.0-1)', 'Depends: lib (>= 1)', 'Section: misc'],
        files: { 'usr/bin/app': 'program', 'usr/bin/alias': { link: 'app' } },
      },
      { name: 'lib', architecture: 'all', files: { 'usr/lib/lib.txt': '' }, compression: 'xz' },
    ])
    const archive = await open()
    await archive.refresh()
    const [app, lib] = await archive.resolve(['app'])
    assert.ok(app !== undefined && lib !== undefined)
    assert.deepEqual(app.source, { name: 'origin', version: '1.0-1' })
    assert.equal(lib.architecture, 'all')
    const files = await archive.files(app)
    assert.deepEqual(
      files.map(({ path, type, mode, uid, package: name }) => [path, type, mode, uid, name]),
      [
        ['/usr', 'folder', 0o755, 0, 'app'],
        ['/usr/bin', 'folder', 0o755, 0, 'app'],
        ['/usr/bin/app', 'file', 0o644, 0, 'app'],
        ['/usr/bin/alias', 'symlink', 0o777, 0, 'app'],
      ],
    )
    const program = files.find(({ path }) => path === '/usr/bin/app')
    assert.ok(program?.type === 'file' && 'file' in program.content)
    assert.equal(await readFile(program.content.file, 'utf8'), 'program')
    assert.equal((await archive.files(lib)).at(-1)?.path, '/usr/lib/lib.txt')
    const { status, md5sums } = await archive.metadata(app)
    assert.match(status, /^Package: app\nStatus: install ok installed\nVersion: 2:1.0-1\n/)
    assert.match(status, /^Source: origin \(1.0-1\)$/m)
    assert.equal(md5sums, '')
  })

  test('a second start works from the verified cache, also without the archive', async () => {
    await server.publish([{ name: 'app' }])
    const first = await open()
    const [app] = await first.resolve(['app'])
    assert.ok(app !== undefined)
    await first.files(app)
    server.requests.length = 0
    server.files.clear()
    const second = await open()
    assert.deepEqual(await second.resolve(['app']), [app])
    await second.files(app)
    await second.ensureFresh(1000)
    assert.deepEqual(server.requests, [])
    await second.refresh()
    assert.deepEqual(warned, ['package source not refreshed'])
    assert.deepEqual(await second.resolve(['app']), [app])
  })

  test('an unchanged suite is not downloaded again, a changed one is', async () => {
    await server.publish([{ name: 'app' }])
    const archive = await open()
    await archive.refresh()
    server.requests.length = 0
    await archive.refresh()
    assert.deepEqual(server.requests, [inRelease])
    await server.publish([{ name: 'app', version: '2' }], { date: new Date(NOW).toUTCString() })
    await archive.refresh()
    assert.equal((await archive.resolve(['app']))[0]?.version, '2')
    // A mirror that lags behind must not take us back.
    await server.publish([{ name: 'app', version: '1' }])
    await archive.refresh()
    assert.equal((await archive.resolve(['app']))[0]?.version, '2')
    assert.deepEqual(warned, ['archive serves an older release file; keeping ours'])
  })

  test('the newest of several suites; one that is not automatic stands back', async () => {
    await server.publish([{ name: 'app', version: '1' }])
    await server.publish([{ name: 'app', version: '1+u1' }], { suite: 'stable-security' })
    const backports = { suite: 'back', fields: ['NotAutomatic: yes', 'ButAutomaticUpgrades: yes'] }
    await server.publish([{ name: 'app', version: '9' }], backports)
    const suites = ['stable', 'stable-security', 'back'].map((suite) => source({ suite }))
    const archive = await open({ sources: suites })
    assert.equal((await archive.resolve(['app']))[0]?.version, '1+u1')
    assert.equal((await archive.resolve(['app (>= 2)']))[0]?.version, '9')
    assert.equal(archive.suites().length, 3)
  })

  test('Release with Release.gpg, and indexes by name', async () => {
    await server.publish([{ name: 'app' }], { detached: true, byHash: false })
    assert.equal((await (await open()).resolve(['app'])).length, 1)
    replace('/debian/dists/stable/Release', text('Origin: Test', 'Origin: Tent'))
    await rm(folder, { recursive: true })
    await refuses((await open()).refresh(), 'SIGNATURE_INVALID', /no valid signature/)
  })

  test('every changed byte of the signed text is refused', async () => {
    await server.publish([{ name: 'app' }])
    const good = server.files.get(inRelease)
    assert.ok(good !== undefined)
    const start = good.indexOf('Origin')
    const end = good.indexOf('-----BEGIN PGP SIGNATURE')
    for (let at = start; at < end - 1; at += 7) {
      if (good[at] === 0x0a || good[at] === 0x20) continue
      replace(inRelease, () => {
        const bad = Buffer.from(good)
        bad.writeUInt8((good[at] ?? 0) ^ 1, at)
        return bad
      })
      await refuses((await open()).refresh(), 'SIGNATURE_INVALID', /InRelease of .*127/)
    }
    assert.deepEqual(await readdir(folder), ['packages', 'tmp'])
  })

  test('signed by another key, by none, or wrapped in foreign text', async () => {
    const other = await newKey()
    await server.publish([{ name: 'app' }], { key: other.privateKey })
    await refuses((await open()).refresh(), 'SIGNATURE_INVALID', /no valid signature/)
    const keyless = source({ signedBy: [{ file: join(folder, 'none.gpg') }] })
    const noKey = await open({ sources: [keyless] })
    await refuses(noKey.refresh(), 'SIGNATURE_INVALID', /no key to verify it with/)
    await server.publish([{ name: 'app' }])
    replace(inRelease, (content) => Buffer.concat([Buffer.from('Origin: Evil\n\n'), content]))
    await refuses((await open()).refresh(), 'SIGNATURE_INVALID', /not one clear-signed message/)
    await server.publish([{ name: 'app' }])
    replace(inRelease, (content) => Buffer.concat([content, Buffer.from('Origin: Evil\n')]))
    await refuses((await open()).refresh(), 'SIGNATURE_INVALID', /not one clear-signed message/)
  })

  test('expired, unless the source says not to mind', async () => {
    await server.publish([{ name: 'app' }], { validUntil: new Date(NOW - 1000).toUTCString() })
    await refuses((await open()).refresh(), 'SIGNATURE_INVALID', /was valid until 2026-03-02T23:59/)
    const careless = await open({ sources: [source({ checkValidUntil: false })] })
    assert.equal((await careless.resolve(['app'])).length, 1)
    await server.publish([{ name: 'app' }], { validUntil: new Date(NOW + 1000).toUTCString() })
    await (await open()).refresh()
  })

  test('a validly signed file of another suite', async () => {
    await server.publish([{ name: 'app' }], { suite: 'oldstable' })
    const old = server.files.get('/debian/dists/oldstable/InRelease')
    assert.ok(old !== undefined)
    server.files.set(inRelease, old)
    await refuses((await open()).refresh(), 'SIGNATURE_INVALID', /is of suite oldstable/)
  })

  test('an index or a package that is not the signed one', async () => {
    await server.publish([{ name: 'app' }])
    const index = [...server.files.keys()].filter((path) => path.includes('by-hash'))
    // Another byte whatever it is: those of the compressed index differ from run to run.
    const other = (content: Buffer): Buffer => content.fill((content[20] ?? 0) ^ 1, 20, 21)
    for (const path of index) replace(path, other)
    await refuses((await open()).refresh(), 'SIGNATURE_INVALID', /not the file of the signed index/)
    for (const path of index) replace(path, (content) => Buffer.concat([content, content]))
    await refuses((await open()).refresh(), 'ARCHIVE_UNREACHABLE', /larger than expected/)
    await server.publish([{ name: 'app' }])
    const archive = await open()
    const [app] = await archive.resolve(['app'])
    assert.ok(app !== undefined)
    replace('/debian/pool/main/app_1.deb', (content) => content.fill(0, 100, 101))
    await refuses(archive.files(app), 'SIGNATURE_INVALID', /app_1.deb is not the file/)
    assert.deepEqual(await readdir(join(folder, 'packages')), [])
    server.files.delete('/debian/pool/main/app_1.deb')
    await refuses(archive.fetchPackage(app), 'ARCHIVE_UNREACHABLE', /app 1: .*404/)
  })

  test('entries that no resolver could use are passed over', async () => {
    const good = `Filename: pool/a.deb\nSize: 1\nSHA256: ${'a'.repeat(64)}`
    const entry = (name: string, rest: string) => `Package: ${name}\nVersion: 1\n${rest}\n`
    const entries = [
      entry('ok', `Architecture: amd64\n${good}\nDepends: a,\n b`),
      entry('foreign', `Architecture: riscv64\n${good}`),
      entry('climbing', `Architecture: all\n${good.replace('pool/', '../../')}`),
      entry('unhashed', 'Architecture: all\nFilename: a.deb\nSize: 1'),
      entry('-dashed', `Architecture: all\n${good}`),
    ]
    await server.publishIndex(entries.join('\n'))
    const archive = await open()
    const [ok] = await archive.resolve(['ok'], { exclude: ['a', 'b'] })
    assert.equal(ok?.depends, 'a, b')
    for (const name of ['foreign', 'climbing', 'unhashed']) {
      await refuses(archive.resolve([name]), 'PACKAGE_UNAVAILABLE', new RegExp(name))
    }
  })

  test('no source for us, and an archive that is not there', async () => {
    const foreign = open({ sources: [source({ architectures: ['arm64'] })] })
    await refuses(foreign, 'SOURCES_MISSING', /sources\.list\(5\)/)
    await refuses((await open()).refresh(), 'ARCHIVE_UNREACHABLE', /stable: HTTP 404/)
  })

  test("of the host's sources those that do not verify are passed over", async () => {
    const hostRoot = join(folder, 'host')
    await mkdir(join(hostRoot, 'etc/apt/trusted.gpg.d'), { recursive: true })
    await writeFile(join(hostRoot, 'etc/apt/trusted.gpg.d/own.asc'), server.publicKey)
    const suites = ['foreign', 'absent', 'stable']
    const lines = suites.map((suite) => `deb ${server.uri} ${suite} main\n`)
    await writeFile(join(hostRoot, 'etc/apt/sources.list'), lines.join(''))
    await server.publish([{ name: 'app', version: '1' }])
    const { privateKey } = await newKey()
    await server.publish([{ name: 'app', version: '9' }], { suite: 'foreign', key: privateKey })
    const options = { cacheDir: folder, hostRoot, architecture: 'amd64', fetch, log } as const
    const archive = await DebianArchive.open({ ...options, now: () => NOW })
    opened.push(archive)
    assert.equal((await archive.resolve(['app']))[0]?.version, '1')
    assert.deepEqual(warned, ['package source not refreshed', 'package source not refreshed'])
    assert.deepEqual(
      archive.suites().map(({ suite }) => suite),
      ['stable'],
    )
    await writeFile(join(hostRoot, 'etc/apt/sources.list'), lines[0] ?? '')
    const none = await DebianArchive.open({ ...options, now: () => NOW })
    await refuses(none.refresh(), 'SIGNATURE_INVALID', /foreign has no valid signature/)
  })

  test('a tree that lost its contents is unpacked again', async () => {
    await server.publish([{ name: 'app', files: { a: 'content' } }])
    const archive = await open()
    const [app] = await archive.resolve(['app'])
    assert.ok(app !== undefined)
    const read = async (): Promise<string> => {
      const found = (await archive.files(app)).find(({ type }) => type === 'file')
      assert.ok(found?.type === 'file' && 'file' in found.content)
      path = found.content.file
      return readFile(path, 'utf8')
    }
    // Files of a tree are read-only, which binds everybody but root.
    const emptied = async (file: string): Promise<void> => {
      await chmod(file, 0o600)
      await truncate(file)
    }
    let path = ''
    assert.equal(await read(), 'content')
    for (const lost of [
      () => rm(path),
      () => emptied(path),
      () => emptied(join(path, '../../tree.json')),
    ]) {
      await lost()
      assert.equal(await read(), 'content')
    }
  })

  test('requests at the same time share downloads and unpacking', async () => {
    await server.publish([{ name: 'app', files: { a: 'x' } }])
    const archive = await open()
    const [[app]] = await Promise.all([archive.resolve(['app']), archive.resolve(['app'])])
    assert.ok(app !== undefined)
    const [one, two] = await Promise.all([archive.files(app), archive.files(app)])
    assert.deepEqual(one, two)
    assert.deepEqual(new Set(server.requests).size, server.requests.length)
  })
})
