/**
 * `npm run demo`: checks and prepares this machine, starts a platform of its own, deploys examples, updates one under load and prints what was measured.
 * Everything goes through the real CLI, as in daily use. `npm run demo -- down` ends it and removes its data;
 * `npm run demo -- ps` and so on: any command of the CLI, against that platform.
 */
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { minimalEnv, start } from '../src/lib/process.ts'
import { freePorts } from '../test/e2e/private-platform.ts'
import { startLoad, type LoadReport } from './load.ts'
import { median, quantile } from './result.ts'

const root = resolve(import.meta.dirname, '..')
const folder = join(root, '.fairway/demo')
const UPDATES = 5
const RATE = 200

const words = process.argv.slice(2)
if (words.length === 0) await demo()
else if (words[0] === 'down') await end()
else await fairway(words, { ports: await choosePorts() })

async function demo(): Promise<void> {
  const began = Date.now()
  await fairway(['doctor', '--fix'], { mayFail: true })
  const ports = await choosePorts()
  await fairway(['up'], { ports })
  await fairway(['deploy', 'examples/node-hello'], { ports })
  await fairway(['deploy', 'examples/static-site'], { ports })
  await fairway(['deploy', 'examples/verdaccio'], { ports })
  const measured = await updateUnderLoad(ports)
  await fairway(['ps'], { ports })
  report(measured, ports, began)
}

interface Ports {
  readonly api: number
  readonly http: number
}

interface Measured {
  readonly seconds: readonly number[]
  readonly load: LoadReport
}

/** The app with two instances gets new versions while requests arrive at a fixed rate. */
async function updateUnderLoad(ports: Ports): Promise<Measured> {
  const app = join(folder, 'traffic')
  await cp(join(root, 'bench/apps/traffic'), app, { recursive: true })
  await fairway(['deploy', app, '--app', 'traffic'], { ports })
  await fairway(['scale', 'web=2', '--app', 'traffic'], { ports })
  console.log(
    `\n# ${String(UPDATES)} updates while ${String(RATE)} requests/s arrive: GET, POST, slow answers, streams, WebSockets`,
  )
  const load = startLoad({ port: ports.http, host: 'traffic.localhost', rate: RATE })
  const seconds: number[] = []
  for (let version = 1; version <= UPDATES; version++) {
    await writeFile(join(app, 'version.js'), `export const version = '${String(version)}'\n`)
    const begun = performance.now()
    await fairway(['deploy', app, '--app', 'traffic', '--quiet'], { ports, shown: false })
    const took = (performance.now() - begun) / 1000
    seconds.push(took)
    console.log(`update ${String(version)} of ${String(UPDATES)}: ${took.toFixed(2)} s`)
  }
  return { seconds, load: await load.stop() }
}

function report({ seconds, load }: Measured, ports: Ports, began: number): void {
  const url = (app: string): string => `http://${app}.localhost:${String(ports.http)}/`
  console.log(`
Open:
  ${url('node-hello')}
  ${url('static-site')}
  ${url('verdaccio')}

Measured here, with ${String(load.sent)} requests during ${String(UPDATES)} updates:
  lost requests         ${String(load.failed)}
  update, median        ${median(seconds).toFixed(2)} s from command to all traffic on the new version, old one drained
  GET latency           median ${median(load.latencies).toFixed(1)} ms, p99 ${quantile(load.latencies, 0.99).toFixed(1)} ms while updating
  whole demo            ${String(Math.round((Date.now() - began) / 1000))} s

It keeps running: \`npm run demo -- ps\`, \`npm run demo -- logs --app traffic\` and so on talk to it.
\`npm run demo -- down\` stops it and removes its data.`)
  for (const line of load.failures) console.log(`  lost: ${line}`)
  if (load.failed > 0) process.exitCode = 1
}

async function end(): Promise<void> {
  const ports = await knownPorts()
  if (ports !== null) await fairway(['down', '--apps'], { ports, mayFail: true })
  await rm(folder, { recursive: true, force: true })
}

/** The usual ports where they are free, else others; the same ones for a demo that already runs. */
async function choosePorts(): Promise<Ports> {
  const known = await knownPorts()
  if (known !== null) return known
  await mkdir(folder, { recursive: true })
  const [api = 7070, http = 8080] = await freePorts(2, [7070, 8080])
  await writeFile(join(folder, 'ports.json'), JSON.stringify({ api, http }))
  return { api, http }
}

async function knownPorts(): Promise<Ports | null> {
  try {
    return JSON.parse(await readFile(join(folder, 'ports.json'), 'utf8')) as Ports
  } catch {
    return null
  }
}

/** Runs the CLI as a person would and shows what it prints. */
async function fairway(
  args: readonly string[],
  {
    ports,
    mayFail = false,
    shown = true,
  }: { ports?: Ports; mayFail?: boolean; shown?: boolean } = {},
): Promise<void> {
  if (shown)
    console.log(`\n$ fairway ${args.map((word) => word.replace(`${folder}/`, '')).join(' ')}`)
  const child = await start(process.execPath, [join(root, 'src/bin/cli.ts'), ...args], {
    cwd: root,
    stdio: ['inherit', shown ? 'inherit' : 'ignore', 'inherit'],
    env: {
      ...(process.env as Record<string, string>),
      ...minimalEnv(),
      HOME: homedir(),
      FAIRWAY_DATA_DIR: join(folder, 'data'),
      XDG_CONFIG_HOME: join(folder, 'config'),
      ...(ports === undefined
        ? {}
        : {
            FAIRWAY_API_PORT: String(ports.api),
            FAIRWAY_HTTP_PORT: String(ports.http),
            FAIRWAY_HTTPS_PORT: 'off',
          }),
    },
  })
  const code = await new Promise<number | null>((done) => child.once('exit', done))
  if (code !== 0 && !mayFail) {
    console.error(`fairway ${args.join(' ')} ended with exit code ${String(code)}`)
    process.exit(code ?? 1)
  }
}
