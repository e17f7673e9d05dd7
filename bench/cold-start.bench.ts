import { resolve } from 'node:path'
import { start } from '../src/lib/process.ts'
import {
  freePorts,
  startPrivatePlatform,
  type PrivatePlatform,
} from '../test/e2e/private-platform.ts'
import { fetchText } from './load.ts'
import { median, row, type Bench, type BenchOptions, type BenchResult } from './result.ts'

const APP = resolve(import.meta.dirname, 'apps/hello')
const RUNS = 15
/** An app is stopped for this long before it is asked for. */
const STOPPED_MS = 1000

/** The app alone on the host: process start to first answer. */
async function bootTime(): Promise<number> {
  const [port = 0] = await freePorts(1)
  const began = performance.now()
  const child = await start(process.execPath, ['server.js'], {
    cwd: APP,
    env: { PORT: String(port) },
    stdio: 'ignore',
  })
  try {
    for (;;) {
      try {
        await fetchText({ port, host: 'app', path: '/', agent: false, body: null })
        return performance.now() - began
      } catch {
        await new Promise((done) => setTimeout(done, 1))
      }
    }
  } finally {
    child.kill('SIGKILL')
  }
}

async function run(options: BenchOptions): Promise<BenchResult> {
  const runner = process.getuid?.() === 0 ? 'container' : 'process'
  const platform = await startPrivatePlatform({ runner, subnet: '10.209.0.0/16' })
  try {
    await platform.must(['deploy', APP, '--app', 'cold'])
    const boots: number[] = []
    const colds: number[] = []
    const get = (): Promise<string> =>
      fetchText({
        port: platform.httpPort,
        host: 'cold.localhost',
        path: '/',
        agent: false,
        body: null,
      })
    for (let round = 0; round < RUNS; round++) {
      boots.push(await bootTime())
      await platform.must(['scale', 'web=0', '--app', 'cold'])
      await untilStopped(platform, get)
      colds.push(await timeToAnswer(() => scaleToOne(platform), get))
    }
    options.say(
      `cold: ${colds.map(Math.round).join(' ')} ms; app alone: ${boots.map(Math.round).join(' ')} ms`,
    )
    const [cold, boot] = [median(colds), median(boots)]
    return {
      name: 'cold-start',
      results: [
        row('stopped app to first 200 through the router, median', 'ms', cold, {
          theirs: boot,
          against: 'the app alone on the host',
        }),
        row('added by the platform, median', 'ms', cold - boot),
      ],
      notes: [
        `runner ${runner}, ${String(RUNS)} rounds, the app stopped for a second before each; from the moment the server is asked for one instance; the request is held by the router meanwhile`,
      ],
    }
  } finally {
    await platform.destroy()
  }
}

/** Nobody answers, nothing is listed, and what follows a stop has been done. */
async function untilStopped(
  platform: Pick<PrivatePlatform, 'must'>,
  get: () => Promise<string>,
): Promise<void> {
  for (;;) {
    const answers = await get().then(
      () => true,
      () => false,
    )
    const listed = (await platform.must(['ps', '--app', 'cold', '--json'])).includes('"web-1-')
    if (!answers && !listed) break
    await new Promise((done) => setTimeout(done, 20))
  }
  await new Promise((done) => setTimeout(done, STOPPED_MS))
}

async function timeToAnswer(
  begin: () => Promise<void>,
  get: () => Promise<string>,
): Promise<number> {
  const began = performance.now()
  const begun = begin()
  for (;;) {
    try {
      await get()
      break
    } catch {
      await new Promise((done) => setTimeout(done, 1))
    }
  }
  const took = performance.now() - began
  await begun
  return took
}

/** Over the API, without a CLI in between: what counts is the platform. */
async function scaleToOne(platform: {
  readonly apiPort: number
  readonly env: Readonly<Record<string, string>>
}): Promise<void> {
  const { readFile } = await import('node:fs/promises')
  const config = await readFile(`${platform.env['HOME'] ?? ''}/.config/fairway/config.json`, 'utf8')
  const token = /fwy_[A-Za-z0-9_]+/.exec(config)?.[0] ?? ''
  const response = await fetch(
    `http://127.0.0.1:${String(platform.apiPort)}/v1/apps/cold/production/scale`,
    {
      method: 'PUT',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ changes: { web: 1 } }),
    },
  )
  if (!response.ok) throw new Error(await response.text())
  await response.arrayBuffer()
}

export const bench: Bench = {
  name: 'cold-start',
  summary: 'stopped app to first 200 through the router, beside the app alone',
  needs: 'root and runc for the container runner',
  run,
}
