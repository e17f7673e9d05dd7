import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FolderSource } from '../test/fakes/folder-source.ts'
import { TestKitchen } from '../test/fakes/test-kitchen.ts'
import { changeServer, makeModulesApp } from './modules-app.ts'
import { median, quantile, row, type Bench, type BenchOptions, type BenchResult } from './result.ts'

const RUNS = 20

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
    await kitchen.bake(plan, new FolderSource(app.folder))
    const times: number[] = []
    for (let turn = 1; turn <= RUNS; turn++) {
      await changeServer(app.folder, turn)
      const source = new FolderSource(app.folder)
      const started = performance.now()
      const { summary } = await kitchen.bake(plan, source)
      times.push(performance.now() - started)
      if (!summary.startsWith('4 layers, 1 new')) throw new Error(`not a warm bake: ${summary}`)
    }
    return {
      name: 'bake-warm',
      results: [
        row('bake after one changed file, median', 'ms', median(times)),
        row('bake after one changed file, p95', 'ms', quantile(times, 0.95)),
      ],
      notes: [`${String(RUNS)} runs; node_modules of ${app.label}`],
    }
  } finally {
    await kitchen.close()
    await rm(root, { recursive: true, force: true })
  }
}

export const bench: Bench = {
  name: 'bake-warm',
  summary: 'bake of an app with a node_modules of 50 MB after one source file changed',
  needs: 'npm, Debian packages',
  run,
}
