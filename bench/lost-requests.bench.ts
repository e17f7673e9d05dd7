import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { startPrivatePlatform, type PrivatePlatform } from '../test/e2e/private-platform.ts'
import { startLoad, type LoadReport } from './load.ts'
import { quantile, row, type Bench, type BenchOptions, type BenchResult } from './result.ts'

const APP = resolve(import.meta.dirname, 'apps/traffic')
const RATE = 500

/** Deploys new versions of one app under load and counts what clients and server saw. */
export async function measureLostRequests(
  platform: PrivatePlatform,
  deploys: number,
  { say }: BenchOptions,
): Promise<{
  readonly report: LoadReport
  readonly duplicated: number
  readonly missing: number
  readonly seconds: readonly number[]
}> {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-traffic-'))
  try {
    await cp(APP, folder, { recursive: true })
    await platform.must(['deploy', folder, '--app', 'traffic'])
    await platform.must(['scale', 'web=2', '--app', 'traffic'])
    await ready(platform, 2)
    const load = startLoad({ port: platform.httpPort, host: 'traffic.localhost', rate: RATE })
    const seconds: number[] = []
    try {
      for (let version = 1; version <= deploys; version++) {
        await writeFile(join(folder, 'version.js'), `export const version = '${String(version)}'\n`)
        const start = performance.now()
        await platform.must(['deploy', folder, '--app', 'traffic'])
        seconds.push((performance.now() - start) / 1000)
        if (version % 10 === 0) say(`${String(version)} deploys`)
      }
    } catch (error) {
      await load.stop()
      throw error
    }
    const report = await load.stop()
    const seen = await postedIds(platform)
    const once = new Set(seen)
    const missing = report.acknowledged.filter((id) => !once.has(id)).length
    return { report, duplicated: seen.length - once.size, missing, seconds }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Every POST number that any instance printed, from the kept logs. */
async function postedIds(platform: PrivatePlatform): Promise<readonly string[]> {
  const text = await platform.must(['logs', '--app', 'traffic', '-n', '100000', '--grep', 'POST '])
  return [...text.matchAll(/POST (\d+)/g)].map((match) => match[1] ?? '')
}

async function ready(platform: PrivatePlatform, count: number): Promise<void> {
  for (let look = 0; look < 200; look++) {
    const text = await platform.must(['ps', '--app', 'traffic', '--json'])
    if ((text.match(/"state": ?"ready"/g) ?? []).length >= count) return
  }
  throw new Error(`no ${String(count)} ready instances`)
}

async function run(options: BenchOptions): Promise<BenchResult> {
  const runner = process.getuid?.() === 0 ? 'container' : 'process'
  const platform = await startPrivatePlatform({ runner, subnet: '10.209.0.0/16' })
  try {
    const { report, duplicated, missing, seconds } = await measureLostRequests(
      platform,
      50,
      options,
    )
    for (const line of report.failures) options.say(line)
    return {
      name: 'lost-requests',
      results: [
        row('requests sent', 'requests', report.sent),
        row('failed', 'requests', report.failed),
        row('POSTs seen twice by the app', 'requests', duplicated),
        row('POSTs acknowledged but not seen', 'requests', missing),
        row('deploy under load, median', 's', quantile(seconds, 0.5)),
        row('GET p99 while deploying', 'ms', quantile(report.latencies, 0.99)),
      ],
      notes: [
        `runner ${runner}; 50 deploys in a row, 2 instances, open loop at ${String(RATE)} requests/s: ${JSON.stringify(report.byKind)}`,
      ],
    }
  } finally {
    await platform.destroy()
  }
}

export const bench: Bench = {
  name: 'lost-requests',
  summary:
    '50 deploys of an app with 2 instances under 500 requests/s of GET, POST, slow, stream and WebSocket',
  needs: 'npm registry; root and runc for the container runner',
  run,
}
