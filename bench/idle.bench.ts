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
        row('server and router together after a restart', 'MB', together(afterRestart)),
        row('server and router together after the deploys', 'MB', together(afterDeploys)),
        row('server alone (VmRSS) after a restart', 'MB', afterRestart.server.all),
        row('router alone (VmRSS) after a restart', 'MB', afterRestart.router.all),
      ],
      notes: [
        `${String(APPS)} apps known, none running; runner ${runner}`,
        'together: private memory of both plus the pages of the Node binary, which both share, once',
      ],
    }
  } finally {
    await platform.destroy()
  }
}

interface Memory {
  readonly all: number
  readonly own: number
  readonly file: number
}

type Programs = Readonly<Record<'server' | 'router', Memory>>

function together({ server, router }: Programs): number {
  return server.own + router.own + Math.max(server.file, router.file)
}

async function memory(platform: PrivatePlatform): Promise<Programs> {
  return { server: await memoryOf(platform, 'server'), router: await memoryOf(platform, 'router') }
}

async function memoryOf(platform: PrivatePlatform, name: string): Promise<Memory> {
  const { pid } = JSON.parse(
    await readFile(join(platform.dataDir, `programs/${name}.pid`), 'utf8'),
  ) as { pid: number }
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8')
  const field = (key: string): number =>
    (Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) * 1024) / 1e6
  return { all: field('VmRSS'), own: field('RssAnon'), file: field('RssFile') }
}

export const bench: Bench = {
  name: 'idle',
  summary: `memory of server and router with ${String(APPS)} apps known, none running`,
  needs: 'Linux; root and runc for the container runner',
  run,
}
