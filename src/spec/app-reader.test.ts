import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { FairwayError } from '../model/errors.ts'
import { parseAppName, parseEnvironmentName } from '../model/names.ts'
import type { SourceTree } from '../model/source.ts'
import { createAppReader } from './app-reader.ts'

const folder = await mkdtemp(join(tmpdir(), 'fairway-reader-'))
after(() => rm(folder, { recursive: true, force: true }))
const ref = { app: parseAppName('shop'), environment: parseEnvironmentName('production') }

async function treeOf(files: Readonly<Record<string, string>>): Promise<SourceTree> {
  const names = Object.keys(files).sort()
  for (const [i, name] of names.entries())
    await writeFile(join(folder, String(i)), files[name] ?? '')
  const digest = (i: number) => `sha256:${String(i).padStart(64, '0')}` as const
  return {
    entries: names.map((path, i) => ({
      type: 'file',
      path,
      size: Buffer.byteLength(files[path] ?? ''),
      executable: false,
      digest: digest(i),
    })),
    contentPath: (wanted) => join(folder, String(Number(wanted.slice(7)))),
    readText: (path) => Promise.resolve(files[path] ?? null),
  }
}

test('a source without app file is recognised; Procfile workers become processes', async () => {
  const tree = await treeOf({
    'package.json': '{"scripts":{"start":"A=1 node s.js"}}',
    's.js': '',
    Procfile: 'worker: node w.js',
  })
  const { spec, recognition } = await createAppReader().read(ref, {
    appFile: null,
    tree,
    image: null,
  })
  assert.equal(recognition.plan.kind, 'node')
  assert.deepEqual(spec.env, { A: '1' })
  assert.deepEqual(
    Object.values(spec.processes).map(({ name, type, command }) => [name, type, command]),
    [
      ['web', 'web', null],
      ['worker', 'worker', ['node', 'w.js']],
    ],
  )
})

test('a file inside the source is read in ranges from the content store', async () => {
  const tree = await treeOf({ tool: `\x7fELF${'\0'.repeat(100)}`, 'index.html': '<p>' })
  const { recognition } = await createAppReader().read(ref, { appFile: null, tree, image: null })
  assert.deepEqual(recognition.plan, { kind: 'static', root: '.' })
})

test('build.context and the command of web guide the recognition; later keys are listed with positions', async () => {
  const tree = await treeOf({ 'a/index.html': '', 'b/run.js': '', 'b/package.json': '{}' })
  const text =
    'version: 1\nbuild: { context: b }\nprocesses: { web: { command: node run.js } }\naddons: { db: { type: postgres } }'
  const appFile = { path: 'fairway.yaml', text }
  const { spec, recognition, laterKeys } = await createAppReader().read(ref, {
    appFile,
    tree,
    image: null,
  })
  assert.deepEqual(recognition.plan, {
    kind: 'node',
    version: null,
    lockfile: null,
    command: ['node', 'run.js'],
  })
  assert.equal(spec.build.context, 'b')
  assert.deepEqual(laterKeys, [{ path: 'addons', at: 'fairway.yaml:4:1' }])
})

test('commands of the app file run without npm: scripts, programs of dependencies, shells as they are', async () => {
  const tree = await treeOf({
    'package.json': '{"scripts":{"jobs":"A=1 node jobs.js"},"dependencies":{"verdaccio":"6"}}',
    'package-lock.json': '{"packages":{"node_modules/verdaccio":{"bin":{"verdaccio":"bin/v"}}}}',
  })
  const text = `version: 1
release: { command: npx migrate up }
processes:
  web: { command: verdaccio --listen $PORT }
  jobs: { command: npm run jobs }
  other: { command: [sh, -c, a] }`
  const appFile = { path: 'f', text }
  const { spec } = await createAppReader().read(ref, { appFile, tree, image: null })
  assert.deepEqual(
    Object.values(spec.processes).map(({ command, env }) => [command?.join(' '), env]),
    [
      ['node node_modules/verdaccio/bin/v --listen $PORT', {}],
      ['node jobs.js', { A: '1' }],
      ['sh -c a', {}],
    ],
  )
  assert.deepEqual(spec.release?.command, ['node', 'node_modules/.bin/migrate', 'up'])
})

test('a command that fits nothing is an error, not a static site', async () => {
  const tree = await treeOf({ 'site/index.html': '' })
  const appFile = {
    path: 'f',
    text: 'version: 1\nprocesses: { web: { command: java -jar x.jar } }',
  }
  await assert.rejects(
    createAppReader().read(ref, { appFile, tree, image: null }),
    /nothing here fits the command "java"/,
  )
})

test('an image needs no source: from the file, or given with the deploy, which wins', async () => {
  const reader = createAppReader()
  const appFile = { path: 'f', text: 'version: 1\nbuild: { image: a.io/x }' }
  const fromFile = await reader.read(ref, { appFile, tree: null, image: null })
  assert.deepEqual(fromFile.recognition.plan, { kind: 'image', reference: 'a.io/x' })
  const given = await reader.read(ref, { appFile, tree: null, image: 'b.io/y' })
  assert.equal(given.spec.build.image, 'b.io/y')
  await assert.rejects(
    reader.read(ref, { appFile: null, tree: null, image: null }),
    (error) => error instanceof FairwayError && error.code === 'UNRECOGNISED_SOURCE',
  )
})
