import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { tokenFile } from '../src/cli/kube-token-cache.ts'
import { minimalEnv, run as runProgram } from '../src/lib/process.ts'
import { median, row, type Bench, type BenchOptions, type BenchResult } from './result.ts'

const PROGRAM = resolve(import.meta.dirname, '../bin/fairway')
const SERVER = 'http://127.0.0.1:7070'
const RUNS = 30
const WARM_UP = 3

/** Command start to end, as kubectl starts it: the shell, Node, one file read, one line written. */
async function run({ say }: BenchOptions): Promise<BenchResult> {
  const home = await mkdtemp(join(tmpdir(), 'fairway-bench-'))
  try {
    const env = { ...minimalEnv(), HOME: home, FAIRWAY_TOKEN: `fwy_bench_${'x'.repeat(43)}` }
    const wish = { server: SERVER, target: 'prod', environment: null }
    const path = tokenFile(wish, 'fwy_bench', { env: {}, home })
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    // As long as a real one: ES256 with a few claims.
    const token = { token: 'x'.repeat(600), expiresAt: Date.now() + 3_600_000 }
    await writeFile(path, JSON.stringify(token), { mode: 0o600 })
    const time = async (program: string, args: readonly string[]): Promise<number> => {
      const began = performance.now()
      await runProgram(program, args, { env })
      return performance.now() - began
    }
    const ours: number[] = []
    const alone: number[] = []
    for (let round = 0; round < WARM_UP + RUNS; round++) {
      const cached = await time(PROGRAM, ['kube-token', '--server', SERVER, '--target', 'prod'])
      const node = await time(process.execPath, ['-e', '0'])
      if (round < WARM_UP) continue
      ours.push(cached)
      alone.push(node)
    }
    say(
      `cached: ${ours.map(Math.round).join(' ')} ms; node alone: ${alone.map(Math.round).join(' ')} ms`,
    )
    const against = { theirs: median(alone), against: 'node -e 0' }
    return {
      name: 'kube-token',
      results: [row('cached token, command start to end', 'ms', median(ours), against)],
      notes: [`medians of ${String(RUNS)} runs after ${String(WARM_UP)}, taking turns`],
    }
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

export const bench: Bench = {
  name: 'kube-token',
  summary: 'a cached token for kubectl, command start to end',
  needs: 'nothing',
  run,
}
