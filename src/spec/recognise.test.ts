import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateRawSync } from 'node:zlib'
import { FairwayError } from '../model/errors.ts'
import { parseAppName, parseEnvironmentName } from '../model/names.ts'
import { recognise, type RecogniseOptions } from './recognise.ts'
import { resolveAppFile } from './resolve-app-file.ts'
import type { SourceView } from './source-view.ts'
import { writeAppFile } from './write-app-file.ts'

type Files = Readonly<Record<string, string | Buffer>>

function memoryView(files: Files): SourceView {
  const bytes = (path: string): Buffer | null => {
    const content = files[path]
    return content === undefined ? null : Buffer.from(content)
  }
  return {
    paths: () => Object.keys(files).sort(),
    isExecutable: () => true,
    size: (path) => bytes(path)?.length ?? null,
    readText: (path) => Promise.resolve(bytes(path)?.toString('utf8') ?? null),
    readBytes: (path, offset, length) => {
      const all = bytes(path)
      if (all === null) return Promise.resolve(null)
      const start = offset < 0 ? Math.max(0, all.length + offset) : offset
      return Promise.resolve(all.subarray(start, start + length))
    },
  }
}

async function found(files: Files, options: RecogniseOptions = {}) {
  const recognition = await recognise(memoryView(files), options)
  const text = writeAppFile(recognition, 'shop')
  const ref = { app: parseAppName('shop'), environment: parseEnvironmentName('production') }
  // What `fairway init` writes is a valid file that says the same.
  const { spec } = resolveAppFile({ file: { path: 'fairway.yaml', text }, ref, recognition })
  if ('command' in recognition.plan)
    assert.deepEqual(Object.values(spec.processes)[0]?.command, recognition.plan.command)
  return recognition
}

async function refused(files: Files, options: RecogniseOptions = {}): Promise<FairwayError> {
  try {
    await recognise(memoryView(files), options)
  } catch (error) {
    assert.ok(error instanceof FairwayError, String(error))
    assert.equal(error.code, 'UNRECOGNISED_SOURCE')
    return error
  }
  throw new Error('expected it to be refused')
}

function zip(files: Files, prefix = ''): Buffer {
  const locals: Buffer[] = [Buffer.from(prefix)]
  const central: Buffer[] = []
  let offset = 0
  for (const [name, content] of Object.entries(files)) {
    const raw = Buffer.from(content)
    const data = deflateRawSync(raw)
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50, 0)
    local.writeUInt16LE(name.length, 26)
    locals.push(local, Buffer.from(name), data)
    const entry = Buffer.alloc(46)
    entry.writeUInt32LE(0x02014b50, 0)
    entry.writeUInt16LE(8, 10)
    entry.writeUInt32LE(data.length, 20)
    entry.writeUInt32LE(raw.length, 24)
    entry.writeUInt16LE(name.length, 28)
    entry.writeUInt32LE(offset, 42)
    central.push(entry, Buffer.from(name))
    offset += 30 + name.length + data.length
  }
  const directory = Buffer.concat(central)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt32LE(directory.length, 12)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...locals, directory, end])
}

function jar(manifest: string, files: Files = {}): Buffer {
  return zip({ 'META-INF/MANIFEST.MF': `Manifest-Version: 1.0\r\n${manifest}\r\n`, ...files })
}

function elf({ type = 2, machine = 62 } = {}): Buffer {
  const header = Buffer.alloc(128)
  header.write('\x7fELF\x02\x01', 'latin1')
  header.writeUInt16LE(type, 16)
  header.writeUInt16LE(machine, 18)
  header.writeBigUInt64LE(0x1000n, 24)
  header.writeBigUInt64LE(64n, 32)
  header.writeUInt16LE(56, 54)
  return header
}

function tarHeader(name: string, size: number): Buffer {
  const block = Buffer.alloc(512)
  block.write(name)
  block.write(size.toString(8).padStart(11, '0'), 124)
  block.write('ustar\x0000', 257)
  return block
}

const LOCK = JSON.stringify({
  packages: { 'node_modules/verdaccio': { bin: { verdaccio: './bin/verdaccio' } } },
})

test('Node: start script, environment, npm run and programs of dependencies', async () => {
  const start = (script: string, scripts = {}) => ({
    'package.json': JSON.stringify({
      scripts: { start: script, ...scripts },
      engines: { node: '>=18 <21' },
    }),
    'server.js': '',
  })
  const plain = await found(start('NODE_ENV=production node server.js --x "a b"'))
  assert.deepEqual(plain, {
    plan: {
      kind: 'node',
      version: 20,
      lockfile: null,
      command: ['node', 'server.js', '--x', 'a b'],
    },
    evidence: 'package.json with start script "NODE_ENV=production node server.js --x "a b""',
    env: { NODE_ENV: 'production' },
  })
  const nested = await found(start('npm run serve -- --x', { serve: 'node server.js' }))
  assert.deepEqual(nested.plan.kind === 'node' && nested.plan.command, ['node', 'server.js', '--x'])
  const cli = await found({
    'package.json': JSON.stringify({
      dependencies: { verdaccio: '6' },
      scripts: { start: 'verdaccio -l 0.0.0.0:$PORT' },
    }),
    'package-lock.json': LOCK,
  })
  assert.deepEqual(cli.plan, {
    kind: 'node',
    version: null,
    lockfile: 'package-lock.json',
    command: ['node', 'node_modules/verdaccio/bin/verdaccio', '-l', '0.0.0.0:$PORT'],
  })
  const unknown = await found({
    'package.json': JSON.stringify({ dependencies: { x: '1' }, scripts: { start: 'next start' } }),
    'yarn.lock': '',
  })
  assert.deepEqual(unknown.plan.kind === 'node' && unknown.plan.command, [
    'node',
    'node_modules/.bin/next',
    'start',
  ])
})

test('Node: main, server.js, version files, a start file that a build makes', async () => {
  const main = await found({
    'package.json': '{"main":"./src"}',
    'src/index.js': '',
    '.nvmrc': 'lts/iron',
  })
  assert.deepEqual(main.plan, {
    kind: 'node',
    version: 20,
    lockfile: null,
    command: ['node', 'src/index.js'],
  })
  const bare = await found({ 'server.js': 'require("http").createServer().listen(1)' })
  assert.equal(bare.evidence, 'server.js that listens')
  const built = await found({
    'package.json': JSON.stringify({ scripts: { start: 'node dist/main.js', build: 'tsc' } }),
  })
  assert.match(built.notes?.[0] ?? '', /dist\/main\.js, which is not in the source.*npm run build/)
})

test('Node: what cannot run says why', async () => {
  const error = await refused({
    'package.json': JSON.stringify({ scripts: { start: 'tsc && node x' } }),
  })
  assert.match(error.message, /"&" needs a shell/)
  const noLock = await refused({
    'package.json': '{"dependencies":{"a":"1"},"main":"a.js"}',
    'a.js': '',
  })
  assert.match(noLock.message, /1 dependency and there is no lockfile/)
  assert.match((await refused({ 'package.json': '{' })).message, /not valid JSON/)
})

test('jars: Main-Class, Spring Boot, jetty-runner with wars, class version', async () => {
  const main = Buffer.alloc(8)
  main.writeUInt32BE(0xcafebabe)
  main.writeUInt16BE(65, 6)
  const plain = await found({
    'app.jar': jar('Main-Class: com.example.very.long.\r\n Main', {
      'com/example/very/long/Main.class': main,
    }),
    'app-sources.jar': jar(''),
  })
  assert.deepEqual(plain.plan, {
    kind: 'jar',
    jar: 'app.jar',
    wars: [],
    version: 21,
    command: ['java', '-jar', 'app.jar'],
  })
  const spring = await found({ 'target/a.jar': jar('Main-Class: x.L\r\nSpring-Boot-Version: 3') })
  assert.deepEqual(spring.plan.kind === 'jar' && spring.plan.command, [
    'java',
    '-Dserver.port=${PORT}',
    '-jar',
    'target/a.jar',
  ])
  const jetty = await found({
    'jetty-runner.jar': jar('Main-Class: org.eclipse.jetty.runner.Runner'),
    'a.war': jar(''),
    'system.properties': 'java.runtime.version=17',
  })
  assert.deepEqual(jetty.plan, {
    kind: 'jar',
    jar: 'jetty-runner.jar',
    wars: ['a.war'],
    version: 17,
    command: ['java', '-jar', 'jetty-runner.jar', '--port', '$PORT', 'a.war'],
  })
  const scripted = zip({ 'META-INF/MANIFEST.MF': 'Main-Class: a.B\n' }, '#!/bin/sh\n')
  assert.equal((await found({ 'app.jar': scripted })).plan.kind, 'jar')
})

test('broken zips and ELF files are nothing, not a crash', async () => {
  const good = jar('Main-Class: a.B')
  for (let length = 0; length < good.length; length += 7) {
    await refused({ 'a.jar': good.subarray(0, length) })
    const broken = Buffer.from(good)
    broken.fill(0xff, length, length + 4)
    await recognise(memoryView({ 'a.jar': broken })).catch((error: unknown) => {
      assert.ok(error instanceof FairwayError, String(error))
    })
  }
  for (let length = 4; length < 64; length += 5) await refused({ a: elf().subarray(0, length) })
})

test('binaries: the only one, a known name, or the one that the Procfile starts', async () => {
  const single = await found({ 'go-httpbin': elf(), 'README.md': '' })
  assert.deepEqual(single, {
    plan: { kind: 'binary', binary: 'go-httpbin', command: ['./go-httpbin'] },
    evidence: 'ELF executable go-httpbin (x64, static)',
  })
  const named = await found({ server: elf({ machine: 183 }), other: elf() })
  assert.match(named.evidence, /server \(arm64/)
  const listed = await found({ a: elf(), b: elf(), Procfile: 'web: ./b --port $PORT' })
  assert.deepEqual(listed.plan, {
    kind: 'binary',
    binary: 'b',
    command: ['./b', '--port', '$PORT'],
  })
  assert.match((await refused({ a: elf(), b: elf() })).message, /several programs are here: a, b/)
})

test('Python: Flask, FastAPI, Django, Procfile and what is missing', async () => {
  const command = async (files: Files) => {
    const { plan } = await found(files)
    return plan.kind === 'python' ? plan.command.join(' ') : plan.kind
  }
  const requirements = 'Flask==3\ngunicorn>=22\n'
  assert.equal(
    await command({
      'requirements.txt': requirements,
      'app.py': 'from flask import Flask\nweb = Flask(__name__)',
    }),
    'python3 -m gunicorn app:web --bind 0.0.0.0:$PORT',
  )
  assert.equal(
    await command({
      'pyproject.toml': '[project]\ndependencies = ["fastapi", "uvicorn"]',
      'main.py': 'app: FastAPI = FastAPI()',
    }),
    'python3 -m uvicorn main:app --host 0.0.0.0 --port $PORT',
  )
  assert.equal(
    await command({ 'requirements.txt': 'gunicorn', 'manage.py': '', 'site/wsgi.py': '' }),
    'python3 -m gunicorn site.wsgi:application --bind 0.0.0.0:$PORT',
  )
  assert.match(
    await command({
      'requirements.txt': 'bottle',
      'wsgi.py': 'def application(environ, start): pass',
    }),
    /^python3 -c [^]*wsgi:application \$PORT$/,
  )
  const httpbin = await found({
    'requirements.txt': 'httpbin\ngunicorn',
    Procfile: 'web: gunicorn httpbin:app\nclock: python tick.py\nrelease: python m.py',
  })
  assert.deepEqual(httpbin.plan, {
    kind: 'python',
    requirements: ['requirements.txt'],
    command: ['gunicorn', 'httpbin:app'],
  })
  assert.deepEqual(httpbin.processes, { clock: ['python', 'tick.py'] })
  assert.match(httpbin.notes?.[0] ?? '', /release/)
  assert.match(
    (await refused({ 'requirements.txt': 'datasette' })).message,
    /without an app to start/,
  )
  assert.match(
    (await refused({ 'requirements.txt': 'fastapi', 'main.py': 'app = FastAPI()' })).message,
    /neither uvicorn/,
  )
})

test('static sites, OCI layouts and saved images', async () => {
  assert.deepEqual((await found({ 'index.html': '', 'index.js': 'alert()' })).plan, {
    kind: 'static',
    root: '.',
  })
  assert.deepEqual((await found({ 'dist/index.html': '' })).plan, { kind: 'static', root: 'dist' })
  const layout = { 'oci-layout': '{"imageLayoutVersion":"1.0.0"}', 'index.json': '{}' }
  assert.deepEqual((await found(layout)).plan, { kind: 'oci-layout', path: '.' })
  const tar = Buffer.concat([
    tarHeader('a/layer.tar', 600),
    Buffer.alloc(1024),
    tarHeader('manifest.json', 2),
    Buffer.alloc(1536),
  ])
  assert.deepEqual((await found({ 'image.tar': tar })).plan, {
    kind: 'docker-archive',
    path: 'image.tar',
  })
})

test('two kinds are an error that names both; command or build.kind decides', async () => {
  const files = {
    'package.json': '{"main":"a.js"}',
    'a.js': '',
    'requirements.txt': 'gunicorn',
    'app.py': 'app = Flask(__name__)',
  }
  const error = await refused(files)
  assert.match(
    error.message,
    /this could be node \(package\.json.*\) or python \(requirements\.txt/,
  )
  assert.match(error.hint, /build: \{ kind: … \}.*node or python/)
  assert.equal((await found(files, { kind: 'python' })).plan.kind, 'python')
  assert.equal((await found(files, { command: ['node', 'a.js'] })).plan.kind, 'node')
  assert.equal((await found({ ...files, Procfile: 'web: gunicorn app:app' })).plan.kind, 'python')
})

test('a context is a folder of the source; nothing found names everything looked for', async () => {
  const files = { 'services/a/index.html': '', 'README.md': 'x' }
  assert.deepEqual((await found(files, { context: 'services/a' })).plan, {
    kind: 'static',
    root: '.',
  })
  const error = await refused(files)
  for (const word of [
    'package.json',
    '.jar',
    'ELF',
    'requirements.txt',
    'index.html',
    'oci-layout',
    'docker save',
    'README.md',
  ])
    assert.ok(error.message.includes(word), word)
  assert.match((await refused(files, { context: 'nowhere' })).message, /folder nowhere .* is empty/)
})
