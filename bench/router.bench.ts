import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { minimalEnv, run as runProgram, runToEnd, start } from '../src/lib/process.ts'
import { connectTraffic } from '../src/router/control-client.ts'
import { tableOf, webService } from '../test/fakes/router-bed.ts'
import { median, quantile, row, type Bench, type BenchOptions, type BenchResult } from './result.ts'

const ROUNDS = 3
const SECONDS = 2
const CONNECTIONS = 32
/** Rate of the latency runs: well below what any of them can do on one core. */
const RATE = 2000
const PROXY_CORE = '0'
const LOAD_CORE = '1'
const HOST = '127.0.0.1'
const UPSTREAM_PORT = 18_180
const BODY = 'x'.repeat(100)
const ROUTER = resolve(import.meta.dirname, '../test/fakes/router-process.ts')

type ChildProcess = Awaited<ReturnType<typeof start>>

interface Proxy {
  readonly name: string
  readonly port: number
  readonly program: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

interface RunningProxy extends Proxy {
  readonly pid: number
}

interface Measured {
  readonly perCore: number[]
  readonly throughput: number[]
  readonly p99: number[]
}

/** Requests per CPU second of the proxy, and the p99 that it adds, beside others on the same upstream. */
async function run({ say }: BenchOptions): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-bench-'))
  const running: ChildProcess[] = []
  try {
    const missing: string[] = []
    for (const program of ['nginx', 'wrk', 'h2load', 'taskset']) {
      if (!(await installed(program))) throw new Error(`bench router needs ${program}`)
    }
    running.push(await launch(await upstream(folder), LOAD_CORE))
    const proxies = await proxiesIn(folder)
    const present: RunningProxy[] = []
    for (const proxy of proxies) {
      if (!(await installed(proxy.program))) {
        missing.push(proxy.name)
        continue
      }
      const child = await launch(proxy, PROXY_CORE)
      running.push(child)
      present.push({ ...proxy, pid: child.pid ?? 0 })
      if (proxy.name === 'Fairway') await publish(folder)
    }
    const results = await measureAll(present, say)
    return report(present, results, missing)
  } finally {
    for (const child of running) await stop(child)
    await rm(folder, { recursive: true, force: true })
  }
}

export const bench: Bench = {
  name: 'router',
  summary: 'requests/s per core and added p99 of the router beside Caddy, nginx and HAProxy',
  needs:
    'nginx (also the upstream), wrk, h2load (nghttp2-client), taskset; caddy and haproxy where installed',
  run,
}

async function measureAll(
  proxies: readonly RunningProxy[],
  say: (line: string) => void,
): Promise<Map<string, Measured>> {
  const direct = { name: 'direct', port: UPSTREAM_PORT }
  const results = new Map<string, Measured>()
  for (const { name } of [direct, ...proxies]) {
    results.set(name, { perCore: [], throughput: [], p99: [] })
  }
  for (const { port } of proxies) await wrk(port, 2)
  // In turns, so that what else happens on the machine hits all of them alike.
  for (let round = 1; round <= ROUNDS; round++) {
    for (const { name, port, pid } of proxies) {
      const before = await cpuSeconds(pid)
      const { requests, perSecond } = await wrk(port, SECONDS)
      const cpu = (await cpuSeconds(pid)) - before
      results.get(name)?.perCore.push(requests / cpu)
      results.get(name)?.throughput.push(perSecond)
      say(
        `round ${String(round)}: ${name} ${perSecond.toFixed(0)} requests/s, ${((cpu / requests) * 1e6).toFixed(1)} µs of CPU each`,
      )
    }
    for (const { name, port } of [direct, ...proxies]) {
      results.get(name)?.p99.push(await latency(port))
    }
  }
  return results
}

function report(
  proxies: readonly Proxy[],
  results: ReadonlyMap<string, Measured>,
  missing: readonly string[],
): BenchResult {
  const middle = (name: string, what: keyof Measured): number =>
    median(results.get(name)?.[what] ?? [])
  const direct = middle('direct', 'p99')
  const others = proxies.filter(({ name }) => name !== 'Fairway')
  const perCore = middle('Fairway', 'perCore')
  const added = Math.max(0.001, middle('Fairway', 'p99') - direct)
  return {
    name: 'router',
    results: [
      ...others.map(({ name }) =>
        row('requests per CPU second', 'requests', perCore, {
          theirs: middle(name, 'perCore'),
          against: name,
        }),
      ),
      ...others.map(({ name }) =>
        row(
          'requests/s on one core, 32 connections',
          'requests/s',
          middle('Fairway', 'throughput'),
          {
            theirs: middle(name, 'throughput'),
            against: name,
          },
        ),
      ),
      ...others.map(({ name }) =>
        row(`added p99 at ${String(RATE)} requests/s`, 'ms', added, {
          theirs: Math.max(0.001, middle(name, 'p99') - direct),
          against: name,
        }),
      ),
    ],
    notes: [
      `medians of ${String(ROUNDS)} runs of ${String(SECONDS)} s each, in turns; the proxy on one core, load and upstream (nginx) on another; HTTP/1.1, 100-byte answers`,
      `p99 without a proxy: ${direct.toFixed(3)} ms`,
      ...missing.map((name) => `skipped, not installed: ${name}`),
    ],
  }
}

async function wrk(
  port: number,
  seconds: number,
): Promise<{ requests: number; perSecond: number }> {
  const url = `http://127.0.0.1:${String(port)}/`
  const args = ['-c', LOAD_CORE, 'wrk', '-t1', `-c${String(CONNECTIONS)}`, `-d${String(seconds)}s`]
  const text = await runProgram('taskset', [...args, url])
  const requests = Number(/(\d+) requests in/.exec(text)?.[1])
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1])
  if (/Non-2xx|Socket errors/.test(text) || !(requests > 0)) {
    throw new Error(`wrk on port ${String(port)}: ${text}`)
  }
  return { requests, perSecond }
}

// Open loop: each of 16 connections sends at a fixed rate; p99 in milliseconds.
async function latency(port: number): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-bench-'))
  try {
    const log = join(folder, 'log')
    const url = `http://127.0.0.1:${String(port)}/`
    const rate = `--rps=${String(RATE / 16)}`
    const options = ['--h1', '-c16', '-t1', rate, `-D${String(SECONDS)}`, `--log-file=${log}`]
    await runProgram('taskset', ['-c', LOAD_CORE, 'h2load', ...options, url], { timeoutMs: 30_000 })
    const lines = (await readFile(log, 'utf8')).trim().split('\n')
    return quantile(
      lines.map((line) => Number(line.split('\t')[2]) / 1000),
      0.99,
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

// Of the process and its children, such as the workers of nginx.
async function cpuSeconds(pid: number): Promise<number> {
  let ticks = 0
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const stat = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (Number(entry) !== pid && Number(fields[1]) !== pid) continue
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks / 100
}

async function publish(folder: string): Promise<void> {
  const address = { host: '127.0.0.1', port: UPSTREAM_PORT }
  const service = webService([{ id: 'upstream', weight: 1, address }])
  const table = tableOf(1, [service], [{ host: HOST, path: '/', service: service.key }])
  await connectTraffic(join(folder, 'control.sock')).publish(table, [])
}

async function proxiesIn(folder: string): Promise<Proxy[]> {
  const port = 18_181
  const args = [ROUTER, join(folder, 'state'), join(folder, 'control.sock'), String(port)]
  return [
    { name: 'Fairway', port, program: process.execPath, args },
    await caddy(folder, 18_182),
    await nginx(folder, 18_183),
    await haproxy(folder, 18_184),
  ]
}

async function caddy(folder: string, port: number): Promise<Proxy> {
  const file = join(folder, 'Caddyfile')
  await writeFile(
    file,
    `{\n admin off\n auto_https off\n}\nhttp://${HOST}:${String(port)} {\n bind 127.0.0.1\n reverse_proxy 127.0.0.1:${String(UPSTREAM_PORT)}\n}\n`,
  )
  return {
    name: 'Caddy',
    port,
    program: 'caddy',
    args: ['run', '--adapter', 'caddyfile', '--config', file],
    env: { GOMAXPROCS: '1', XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
  }
}

async function nginx(folder: string, port: number): Promise<Proxy> {
  const server = `upstream app { server 127.0.0.1:${String(UPSTREAM_PORT)}; keepalive 128; }
    server { listen 127.0.0.1:${String(port)}; server_name ${HOST}; location / {
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Request-Id $request_id; } }`
  return { name: 'nginx', port, program: 'nginx', args: await nginxArgs(folder, 'proxy', server) }
}

async function upstream(folder: string): Promise<Proxy> {
  const server = `server { listen 127.0.0.1:${String(UPSTREAM_PORT)}; location / { return 200 "${BODY}"; } }`
  const args = await nginxArgs(folder, 'upstream', server)
  return { name: 'upstream', port: UPSTREAM_PORT, program: 'nginx', args }
}

async function nginxArgs(folder: string, name: string, server: string): Promise<string[]> {
  const file = join(folder, `${name}.conf`)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${join(folder, `${name}-${kind}`)};`)
    .join(' ')
  await writeFile(
    file,
    `daemon off; worker_processes 1; pid ${join(folder, `${name}.pid`)}; error_log stderr crit;
    events { worker_connections 1024; }
    http { access_log off; keepalive_requests 100000000; ${temporary} ${server} }`,
  )
  return ['-c', file, '-p', folder, '-e', 'stderr']
}

async function haproxy(folder: string, port: number): Promise<Proxy> {
  const file = join(folder, 'haproxy.cfg')
  await writeFile(
    file,
    `global
  nbthread 1
defaults
  mode http
  timeout connect 3s
  timeout client 60s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend f
  bind 127.0.0.1:${String(port)}
  default_backend b
backend b
  http-request set-header X-Forwarded-Proto http
  server s 127.0.0.1:${String(UPSTREAM_PORT)}
`,
  )
  return { name: 'HAProxy', port, program: 'haproxy', args: ['-db', '-f', file] }
}

async function installed(program: string): Promise<boolean> {
  if (program.includes('/')) return true
  return (await runToEnd('which', [program])).code === 0
}

async function launch(proxy: Proxy, core: string): Promise<ChildProcess> {
  const child = await start('taskset', ['-c', core, proxy.program, ...proxy.args], {
    env: { ...minimalEnv(), ...proxy.env },
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  for (let look = 0; look < 200; look++) {
    if (await accepts(proxy.port)) return child
    await sleep(50)
  }
  await stop(child)
  throw new Error(`${proxy.name} does not listen on port ${String(proxy.port)}`)
}

function accepts(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => {
      socket.destroy()
      done(true)
    })
    socket.on('error', () => done(false))
  })
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise((done) => child.once('exit', done))
  const late = setTimeout(() => child.kill('SIGKILL'), 3000)
  child.kill('SIGTERM')
  await exited
  clearTimeout(late)
}
