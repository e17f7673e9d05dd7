import assert from 'node:assert/strict'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { FolderSource } from '../../test/fakes/folder-source.ts'
import { HostSandbox } from '../../test/fakes/host-sandbox.ts'
import { TestKitchen, type KitchenOptions } from '../../test/fakes/test-kitchen.ts'
import { DebianArchive } from '../debian/debian-archive.ts'
import { run } from '../lib/process.ts'
import type { BakeResult, BuildPlan } from '../model/build-plan.ts'
import { FairwayError, type ErrorCode } from '../model/errors.ts'

const root = mkdtempSync(join(tmpdir(), 'fairway-baker-'))
const kitchens: TestKitchen[] = []
after(async () => {
  for (const kitchen of kitchens) await kitchen.close()
  rmSync(root, { recursive: true, force: true })
})

/** Packages are fetched once for the whole file; stores are fresh. */
const debian = (): Promise<DebianArchive> => DebianArchive.open({ cacheDir: join(root, 'debian') })
const cacheDir = join(root, 'bake')

async function open(options: KitchenOptions = {}): Promise<TestKitchen> {
  const kitchen = await TestKitchen.open({ debian, cacheDir, ...options })
  kitchens.push(kitchen)
  return kitchen
}

function folder(name: string, files: Readonly<Record<string, string>>): string {
  const path = join(root, name)
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(join(path, dirname(file)), { recursive: true })
    writeFileSync(join(path, file), text)
  }
  return path
}

/** Every path of the image, without its base. */
async function paths(kitchen: TestKitchen, result: BakeResult, layers: number): Promise<string[]> {
  const trees = (await kitchen.images.lowerDirs(result.image.digest)).slice(0, layers)
  return trees.flatMap((tree) => readdirSync(tree, { recursive: true, encoding: 'utf8' })).sort()
}

/** The whole root file system in one folder. */
async function unpacked(kitchen: TestKitchen, result: BakeResult, name: string): Promise<string> {
  const target = join(root, name)
  for (const tree of [...(await kitchen.images.lowerDirs(result.image.digest))].reverse()) {
    cpSync(tree, target, { recursive: true, verbatimSymlinks: true, force: true })
  }
  return target
}

async function packageFile(name: string, path: string, target: string): Promise<void> {
  const archive = await debian()
  await archive.ensureFresh(86_400_000)
  const found = (await archive.resolve([name])).find((pkg) => pkg.name === name)
  assert(found !== undefined)
  await archive.fetchPackages([found])
  const file = (await archive.files(found)).find((one) => one.path === path)
  assert(file?.type === 'file' && 'file' in file.content)
  mkdirSync(dirname(target), { recursive: true })
  copyFileSync(file.content.file, target)
  chmodSync(target, 0o644)
}

const asRoot = process.getuid?.() === 0 ? {} : { skip: 'needs root for chroot' }
const rejectsWith = (code: ErrorCode, text: RegExp) => (error: unknown) => {
  assert(error instanceof FairwayError, String(error))
  assert.equal(error.code, code)
  assert.match(error.message, text)
  return true
}

const NODE: BuildPlan = {
  kind: 'node',
  version: null,
  lockfile: null,
  command: ['node', 'server.js'],
}

test(
  'a Node app: base, runtime, app; it starts; baked again nothing is new',
  { timeout: 180_000 },
  async (t) => {
    const kitchen = await open()
    const source = folder('hello', {
      'package.json': '{"name":"hello"}',
      'server.js':
        'console.log(process.version, process.getuid(), require("node:fs").existsSync("/app/.env"))',
      '.env': 'SECRET=1',
    })
    const first = await kitchen.bake(NODE, new FolderSource(source))
    assert.match(first.summary, /^3 layers, 3 new, \d+ MB$/)
    assert.deepEqual(first.image.command, ['node', 'server.js'])
    assert.equal(first.image.env['NODE_ENV'], 'production')
    assert.equal(first.image.user, '65532:65532')
    assert.match(
      kitchen.lines.join('\n'),
      /left out of the image: \.env\nbase: Debian \d+, \d+ packages\nruntime: Node 24\.[0-9.]+\napp: 2 files, 1\d\d B/,
    )
    const stored = await kitchen.images.image(first.image.digest)
    const [base, runtime] = stored?.layers ?? []
    assert(base !== undefined && runtime !== undefined)
    assert(base.size < 4_000_000, `everything but Node takes ${String(base.size)} bytes`)
    const again = await kitchen.bake(NODE, new FolderSource(source))
    assert.deepEqual([again.image.digest, again.summary], [first.image.digest, '3 layers, 0 new'])
    await t.test('it runs as nobody', asRoot, async () => {
      const target = await unpacked(kitchen, first, 'hello-root')
      const said = await run('chroot', [
        '--userspec=65532:65532',
        target,
        '/usr/local/bin/node',
        '/app/server.js',
      ])
      assert.match(said, /^v24\.[0-9.]+ 65532 false\n$/)
      const packages = readdirSync(join(target, 'var/lib/dpkg/status.d'))
      for (const name of ['libc6', 'libc6.md5sums', 'libstdc++6', 'ca-certificates', 'tzdata'])
        assert(packages.includes(name), name)
      assert.match(readFileSync(join(target, 'etc/os-release'), 'utf8'), /^ID=debian$/m)
    })
  },
)

test(
  'dependencies come from the lockfile, once; node_modules beside it is ignored; credentials stay out',
  { timeout: 120_000 },
  async () => {
    const sandbox = new HostSandbox()
    const kitchen = await open({ sandbox })
    const source = folder('deps', {
      'package.json': JSON.stringify({
        name: 'deps',
        scripts: { start: 'node server.js' },
        dependencies: { ms: '2.1.3' },
        devDependencies: { 'is-number': '7.0.0' },
      }),
      'server.js': 'require("ms")',
      '.npmrc': '//registry.example.test/:_authToken=hunter2\n',
      'node_modules/ms/index.js': 'from another machine',
    })
    await run('npm', ['install', '--package-lock-only', '--ignore-scripts', '--no-audit'], {
      cwd: source,
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: root,
        ...environmentOf(/^npm_config|proxy$|CA_CERTS$/i),
      },
    })
    const plan: BuildPlan = { ...NODE, lockfile: 'package-lock.json', command: ['npm', 'start'] }
    const first = await kitchen.bake(plan, new FolderSource(source), { flavour: 'host' })
    assert.deepEqual(first.image.command, ['node', 'server.js'])
    const found = await paths(kitchen, first, 2)
    assert(found.includes('app/node_modules/ms/package.json'))
    assert(
      found.every((path) => !/is-number|\.npmrc/.test(path)),
      found.join(' '),
    )
    const modules = (await kitchen.images.lowerDirs(first.image.digest))[1] ?? ''
    assert.doesNotMatch(
      readFileSync(join(modules, 'app/node_modules/ms/index.js'), 'utf8'),
      /another machine/,
    )
    assert.equal(sandbox.requests.length, 1)
    const [request] = sandbox.requests
    assert(request !== undefined)
    assert.deepEqual(request.argv.slice(2, 4), ['ci', '--ignore-scripts'])
    assert(request.limits.memory === 2 * 1024 ** 3 && request.limits.timeoutMs === 900_000)
    const expected =
      /^(?:npm_config_\w+|PIP_\w+|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|CI|HOME|LANG|PATH|\w+_proxy)$/i
    assert.deepEqual(
      Object.keys(request.env).filter((name) => !expected.test(name)),
      [],
    )
    writeFileSync(join(source, 'server.js'), 'require("ms"); // changed')
    const second = await kitchen.bake(plan, new FolderSource(source), { flavour: 'host' })
    assert.match(second.summary, /^2 layers, 1 new, \d+ B$/)
    assert.equal(sandbox.requests.length, 1)
    assert(kitchen.lines.includes('dependencies: unchanged (cached)'))
  },
)

test(
  'a lockfile that does not fit is an error with what npm said',
  { timeout: 60_000 },
  async () => {
    const kitchen = await open()
    const source = folder('misfit', {
      'package.json': '{"name":"misfit","version":"1.0.0","dependencies":{"ms":"2.1.3"}}',
      'package-lock.json':
        '{"name":"misfit","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"misfit","version":"1.0.0"}}}',
    })
    const plan: BuildPlan = { ...NODE, lockfile: 'package-lock.json' }
    await assert.rejects(
      kitchen.bake(plan, new FolderSource(source), { flavour: 'host' }),
      rejectsWith('INSTALL_FAILED', /^npm ci failed with exit code 1\n/),
    )
    assert.match(kitchen.output.join(''), /in sync|Missing: ms/)
    await assert.rejects(
      kitchen.bake(NODE, new FolderSource(source), { flavour: 'host' }),
      rejectsWith('INSTALL_FAILED', /neither a lockfile nor node_modules/),
    )
    await assert.rejects(
      kitchen.bake({ ...NODE, lockfile: 'bun.lockb' }, new FolderSource(source), {
        flavour: 'host',
      }),
      rejectsWith('INSTALL_FAILED', /bun\.lockb is not supported/),
    )
  },
)

test(
  'a build script sees development dependencies, the image does not',
  { timeout: 120_000 },
  async () => {
    const kitchen = await open()
    const source = folder('built', {
      'package.json':
        '{"name":"built","version":"1.0.0","scripts":{"build":"node build.js"},"dependencies":{"ms":"2.1.3"},"devDependencies":{"is-number":"7.0.0"}}',
      'build.js':
        'require("is-number"); const fs = require("fs"); fs.mkdirSync("dist"); fs.writeFileSync("dist/server.js", "1"); fs.writeFileSync(".env.local", "x")',
    })
    await run('npm', ['install', '--package-lock-only', '--ignore-scripts', '--no-audit'], {
      cwd: source,
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: root,
        ...environmentOf(/^npm_config|proxy$|CA_CERTS$/i),
      },
    })
    const plan: BuildPlan = {
      ...NODE,
      lockfile: 'package-lock.json',
      command: ['node', 'dist/server.js'],
    }
    const result = await kitchen.bake(plan, new FolderSource(source), { flavour: 'host' })
    const found = await paths(kitchen, result, 2)
    assert(found.includes('app/dist/server.js') && found.includes('app/node_modules/ms/index.js'))
    assert(
      found.every((path) => !/is-number|\.env/.test(path)),
      found.join(' '),
    )
    const again = await kitchen.bake(plan, new FolderSource(source), { flavour: 'host' })
    assert.deepEqual([again.image.digest, again.summary], [result.image.digest, '2 layers, 0 new'])
    const broken = folder('built', { 'build.js': 'console.error("no such luck"); process.exit(3)' })
    await assert.rejects(
      kitchen.bake(plan, new FolderSource(broken), { flavour: 'host' }),
      rejectsWith('BAKE_FAILED', /npm run build failed with exit code 3[^]*no such luck/),
    )
  },
)

test(
  'a build cannot make the baker read the host through a link',
  { timeout: 60_000 },
  async () => {
    const kitchen = await open()
    const source = folder('leak', {
      'index.html': 'x',
      'make.js': 'require("fs").symlinkSync(process.argv[2], "out")',
    })
    for (const [target, text] of [
      ['/etc', /out is not a folder of its own/],
      ['.', /out is not a folder of its own/],
    ] as const) {
      const baking = kitchen.bake({ kind: 'static', root: 'out' }, new FolderSource(source), {
        flavour: 'host',
        command: ['node', 'make.js', target],
      })
      await assert.rejects(baking, rejectsWith('INVALID_SOURCE', text))
    }
  },
)

test(
  'a static program: certificates, users and zones, and it; the same in every store',
  { timeout: 120_000 },
  async (t) => {
    const source = join(root, 'static-program')
    await packageFile('busybox-static', '/bin/busybox', join(source, 'busybox'))
    const plan: BuildPlan = {
      kind: 'binary',
      binary: 'busybox',
      command: ['./busybox', 'cat', '/etc/passwd'],
    }
    const [one, two] = [await open(), await open({ cacheDir: join(root, 'bake-2') })]
    const first = await one.bake(plan, new FolderSource(source))
    const second = await two.bake(plan, new FolderSource(source))
    assert.equal(first.image.digest, second.image.digest)
    const [base] = (await one.images.image(first.image.digest))?.layers ?? []
    assert(
      base !== undefined && base.size < 1_000_000,
      `everything but the program takes ${String(base?.size)} bytes`,
    )
    await t.test('it runs although it was sent without its x bit', asRoot, async () => {
      const target = await unpacked(one, first, 'static-root')
      const said = await run('chroot', [
        '--userspec=65532:65532',
        target,
        '/app/busybox',
        'cat',
        '/etc/passwd',
      ])
      assert.match(said, /:65532:65532:/)
      assert.match(
        readFileSync(join(target, 'etc/ssl/certs/ca-certificates.crt'), 'utf8'),
        /BEGIN CERTIFICATE/,
      )
    })
  },
)

test('a dynamic program gets the libraries that it loads', { timeout: 120_000 }, async (t) => {
  const source = join(root, 'dynamic-program')
  await packageFile('hello', '/usr/bin/hello', join(source, 'hello'))
  const kitchen = await open()
  const result = await kitchen.bake(
    { kind: 'binary', binary: 'hello', command: ['hello'] },
    new FolderSource(source),
  )
  assert.deepEqual(result.image.command, ['./hello'])
  await t.test('it runs', asRoot, async () => {
    const target = await unpacked(kitchen, result, 'dynamic-root')
    assert.match(
      await run('chroot', ['--userspec=65532:65532', target, '/app/hello']),
      /Hello, world!/,
    )
  })
})

test('what cannot run here is named', async () => {
  const kitchen = await open()
  const source = folder('wrong', { 'run.exe': 'MZ\0\0', 'script.sh': '#!/bin/sh\n' })
  const elf = Buffer.alloc(128)
  elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  elf.writeUInt16LE(2, 16)
  elf.writeUInt16LE(243, 18)
  elf.writeUInt16LE(64, 52)
  writeFileSync(join(source, 'riscv'), elf)
  const bake = (binary: string): Promise<BakeResult> =>
    kitchen.bake({ kind: 'binary', binary, command: [binary] }, new FolderSource(source))
  await assert.rejects(
    bake('run.exe'),
    rejectsWith('INVALID_SOURCE', /run\.exe is not a Linux program/),
  )
  await assert.rejects(bake('riscv'), rejectsWith('INVALID_SOURCE', /riscv is built for RISC-V/))
  await assert.rejects(bake('gone'), rejectsWith('INVALID_SOURCE', /no file "gone"/))
})

test('a static site is served from its own folder', async () => {
  const kitchen = await open()
  const source = folder('site', {
    'public/index.html': 'hi',
    'public/.well-known/x': 'y',
    'public/.hidden': 'z',
    'notes.md': 'private',
  })
  const result = await kitchen.bake({ kind: 'static', root: 'public' }, new FolderSource(source), {
    flavour: 'host',
  })
  const found = await paths(kitchen, result, 2)
  assert(found.includes('app/site/index.html') && found.includes('app/.fairway/static-server.mjs'))
  assert(!found.some((path) => path.includes('notes.md')))
  const [top = ''] = await kitchen.images.lowerDirs(result.image.digest)
  const table: unknown = JSON.parse(readFileSync(join(top, 'app/.fairway/site.json'), 'utf8'))
  assert(typeof table === 'object' && table !== null)
  assert.deepEqual(Object.keys(table), ['/.well-known/x', '/index.html'])
  await assert.rejects(
    kitchen.bake({ kind: 'static', root: 'dist' }, new FolderSource(source), { flavour: 'host' }),
    rejectsWith('BAKE_FAILED', /no file to serve in folder "dist"/),
  )
})

test('an app that has not changed is not read again; another byte, name or mode is another image', async () => {
  const kitchen = await open()
  const plans: readonly BuildPlan[] = [
    NODE,
    { kind: 'static', root: '.' },
    { kind: 'static', root: 'public' },
  ]
  for (const [index, plan] of plans.entries()) {
    const path = folder(`again-${String(index)}`, {
      'package.json': '{"name":"again"}',
      'server.js': 'console.log(1)',
      'public/a.txt': 'one',
    })
    const bake = async (): Promise<string> =>
      (await kitchen.bake(plan, new FolderSource(path), { flavour: 'host' })).image.digest
    const first = await bake()
    const unread = new FolderSource(path)
    for (const file of ['server.js', 'public/a.txt']) renameSync(join(path, file), join(path, 'x'))
    const again = await kitchen.bake(plan, unread, { flavour: 'host' })
    assert.equal(again.image.digest, first)
    assert.match(again.summary, / 0 new/)

    writeFileSync(join(path, 'server.js'), 'console.log(1)')
    const digests = [first]
    for (const [name, text] of [
      ['public/a.txt', 'two'],
      ['public/b.txt', 'two'],
    ] as const) {
      writeFileSync(join(path, name), text)
      digests.push(await bake())
    }
    chmodSync(join(path, 'public/b.txt'), 0o755)
    digests.push(await bake())
    assert.equal(new Set(digests).size, digests.length, plan.kind)
  }
})

test('an OCI layout and its tar are taken as they are', async () => {
  const maker = await open()
  const source = folder('site', {})
  const made = await maker.bake({ kind: 'static', root: 'public' }, new FolderSource(source), {
    flavour: 'host',
  })
  const layout = join(root, 'layout')
  const stored = await maker.images.image(made.image.digest)
  assert(stored !== null)
  const digests = [
    made.image.digest,
    stored.manifest.config.digest,
    ...stored.layers.map((layer) => layer.digest),
  ]
  const sizes: number[] = []
  mkdirSync(join(layout, 'image/blobs/sha256'), { recursive: true })
  for (const digest of digests) {
    const bytes = await maker.images.blobs.readAll(digest, 1 << 24)
    assert(bytes !== null)
    sizes.push(bytes.length)
    writeFileSync(join(layout, 'image/blobs/sha256', digest.slice(7)), bytes)
  }
  writeFileSync(join(layout, 'image/oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  writeFileSync(
    join(layout, 'image/index.json'),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [
        {
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          digest: made.image.digest,
          size: sizes[0],
        },
      ],
    }),
  )
  await run('tar', ['-cf', join(layout, 'image.tar'), '-C', join(layout, 'image'), '.'])
  for (const plan of [
    { kind: 'oci-layout', path: 'image' },
    { kind: 'docker-archive', path: 'image.tar' },
  ] as const) {
    const kitchen = await open()
    const result = await kitchen.bake(plan, new FolderSource(layout))
    assert.equal(result.image.digest, made.image.digest)
    assert.deepEqual(result.image.command, made.image.command)
    assert.match(result.summary, /^2 layers, /)
    await assert.rejects(
      kitchen.bake(plan, new FolderSource(layout), { flavour: 'host' }),
      rejectsWith('RUNNER_UNAVAILABLE', /needs the container runner/),
    )
  }
})

function environmentOf(names: RegExp): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      names.test(name) && value !== undefined ? [[name, value]] : [],
    ),
  )
}
