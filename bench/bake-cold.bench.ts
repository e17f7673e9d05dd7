import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run as runProgram } from '../src/lib/process.ts'
import { FolderSource } from '../test/fakes/folder-source.ts'
import { TestKitchen } from '../test/fakes/test-kitchen.ts'
import { changeModules, makeModulesApp } from './modules-app.ts'
import { storedFolder } from './stored-folder.ts'
import { median, row, type Bench, type BenchOptions, type BenchResult } from './result.ts'

const RUNS = 5

async function run(options: BenchOptions): Promise<BenchResult> {
  const root = await mkdtemp(join(tmpdir(), 'fairway-bench-bake-'))
  const kitchen = await TestKitchen.open()
  try {
    const app = await makeModulesApp(join(root, 'app'))
    options.say(`node_modules: ${app.label}`)
    const plan = {
      kind: 'node',
      version: null,
      lockfile: null,
      command: ['node', 'server.js'],
    } as const
    // Base and runtime are the platform's and there before the first app comes.
    await kitchen.bake(plan, new FolderSource(app.folder))
    const ours: number[] = []
    const theirs: number[] = []
    for (let turn = 1; turn <= RUNS; turn++) {
      await changeModules(app.folder, turn)
      // A content store of its own each time: files that no layer has linked before.
      const source = await storedFolder(app.folder, join(root, `sources-${String(turn)}`))
      const started = performance.now()
      const { summary } = await kitchen.bake(plan, source)
      ours.push(performance.now() - started)
      const packing = performance.now()
      await runProgram('tar', [
        '-I',
        'gzip -1',
        '-cf',
        join(root, 'app.tar.gz'),
        '-C',
        app.folder,
        '.',
      ])
      theirs.push(performance.now() - packing)
      options.say(
        `run ${String(turn)}: ${summary}; bake ${ours.at(-1)?.toFixed(0) ?? ''} ms, tar ${theirs.at(-1)?.toFixed(0) ?? ''} ms`,
      )
    }
    const other = { theirs: median(theirs), against: 'tar | gzip -1 of the same tree' }
    return {
      name: 'bake-cold',
      results: [row('first bake of the app', 'ms', median(ours), other)],
      notes: [
        `medians of ${String(RUNS)} runs; node_modules of ${app.label}, new in every run; base and runtime layers were there`,
        'a bake makes layer and unpacked tree, with the digests of both; tar only the archive',
        'the source was sent before, as in a deploy: the unpacked tree links its files',
      ],
    }
  } finally {
    await kitchen.close()
    await rm(root, { recursive: true, force: true })
  }
}

export const bench: Bench = {
  name: 'bake-cold',
  summary:
    'first bake of an app with a node_modules of 50 MB, beside tar and gzip -1 of the same tree',
  needs: 'tar, gzip, npm, Debian packages',
  run,
}
