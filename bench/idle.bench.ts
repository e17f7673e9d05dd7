import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { startPrivatePlatform, type PrivatePlatform } from '../test/e2e/private-platform.ts'
import { row, type Bench, type BenchOptions, type BenchResult } from './result.ts'

const APP = resolve(import.meta.dirname, 'apps/hello')
const APPS = 20
/** Garbage of the deploys is collected by then. */
const SETTLE_MS = 20_000

async function run(options: BenchOptions): Promise<BenchResult> {
  const runner = process.getuid?.() === 0 ? 'container' : 'process'
  const platform = await startPrivatePlatform({ runner, subnet: '10.209.0.0/16' })
  try {
    for (let app = 1; app <= APPS; app++) {
      await platform.must(['deploy', APP, '--app', `idle-${String(app)}`])
      await platform.must(['scale', 'web=0', '--app', `idle-${String(app)}`])
    }
    options.say(`${String(APPS)} apps deployed and scaled to 0`)
    await new Promise((done) => setTimeout(done, SETTLE_MS))
    const afterDeploys = await memory(platform)
    await platform.must(['down'])
    await platform.must(['up'])
    await new Promise((done) => setTimeout(done, SETTLE_MS))
    const afterRestart = await memory(platform)
    return {
      name: 'idle',
      results: [
        row('server after a restart', 'MB', afterRestart.server),
        row('router after a restart', 'MB', afterRestart.router),
        row('both after a restart', 'MB', afterRestart.server + afterRestart.router),
        row('both after the deploys', 'MB', afterDeploys.server + afterDeploys.router),
      ],
      notes: [
        `resident memory (VmRSS) with ${String(APPS)} apps known, none running; runner ${runner}`,
      ],
    }
  } finally {
    await platform.destroy()
  }
}

async function memory(
  platform: PrivatePlatform,
): Promise<{ readonly server: number; readonly router: number }> {
  const of = async (name: string): Promise<number> => {
    const { pid } = JSON.parse(
      await readFile(join(platform.dataDir, `programs/${name}.pid`), 'utf8'),
    ) as { pid: number }
    const status = await readFile(`/proc/${String(pid)}/status`, 'utf8')
    return (Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024) / 1e6
  }
  return { server: await of('server'), router: await of('router') }
}

export const bench: Bench = {
  name: 'idle',
  summary: `memory of server and router with ${String(APPS)} apps known, none running`,
  needs: 'Linux; root and runc for the container runner',
  run,
}
