import { request } from 'node:http'
import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type {
  DownOptions,
  PlatformPrograms,
  PlatformState,
  ProgramState,
  RunningPlatform,
  UpOptions,
} from '../cli/programs.ts'
import { readIfExists } from '../lib/atomic-file.ts'
import { minimalEnv } from '../lib/process.ts'
import { FairwayError } from '../model/errors.ts'
import { connectTraffic } from '../router/control-client.ts'
import {
  logFile,
  runningPid,
  startInBackground,
  stopInBackground,
  type BackgroundProgram,
} from './background-program.ts'
import { asEnvironment, readConfig, type Config } from './config.ts'
import { environment } from './environment.ts'
import { createDataFolder, dataFolder, type DataFolder } from './data-folder.ts'

const START_MS = 60_000
const STOP_MS = 20_000
/** The server is idle most of the time: a small young generation and no helper threads of the collector save 25 MB. The router is not, and has the defaults. */
const NODE_FLAGS = {
  server: ['--max-semi-space-size=4', '--single-threaded-gc'],
  router: [],
} as const

/** Server and router of this machine as `fairway up`, `down` and `status` see them. */
export const platformPrograms: PlatformPrograms = { up, down, status }

async function up(options: UpOptions, say: (line: string) => void): Promise<RunningPlatform> {
  const config = configured(options)
  const folder = dataFolder(config.dataDir)
  await createDataFolder(folder)
  const started: ('router' | 'server')[] = []
  for (const [name, answers] of [
    ['router', () => routerAnswers(folder)],
    ['server', () => serverAnswers(config)],
  ] as const) {
    if (await ensureRunning(programOf(name, folder), config, folder, answers)) {
      started.push(name)
      say(`${name} started`)
    }
  }
  const claim = await claimOf(folder)
  const url = apiUrl(config)
  return {
    url,
    routerUrls: routerUrls(config),
    claim,
    claimUrl: claim === null ? null : `${url}/claim#${claim}`,
    dataDir: config.dataDir,
    runner: config.runner,
    started,
  }
}

async function down(
  options: DownOptions,
  say: (line: string) => void,
): Promise<{ readonly stopped: readonly ('server' | 'router')[] }> {
  const config = configured(options)
  const folder = dataFolder(config.dataDir)
  const stopped: ('server' | 'router')[] = []
  for (const name of ['server', 'router'] as const) {
    if (await stopInBackground(programOf(name, folder), STOP_MS)) {
      stopped.push(name)
      say(`${name} stopped`)
    }
  }
  if (options.apps) {
    const { stopAllInstances } = await import('./stop-instances.ts')
    const count = await stopAllInstances(config, folder)
    say(`${String(count)} ${count === 1 ? 'instance' : 'instances'} stopped`)
  }
  return { stopped }
}

async function status(options: { readonly dataDir: string | undefined }): Promise<PlatformState> {
  const config = configured({ ...options, runner: undefined, port: undefined, httpPort: undefined })
  const folder = dataFolder(config.dataDir)
  const [server, router] = await Promise.all([
    programState(programOf('server', folder), apiUrl(config), () => serverAnswers(config)),
    programState(programOf('router', folder), routerUrls(config)[0] ?? null, () =>
      routerAnswers(folder),
    ),
  ])
  return { server, router, dataDir: config.dataDir }
}

function configured(options: Partial<UpOptions>): Config {
  const overrides = {
    ...(options.dataDir === undefined ? {} : { FAIRWAY_DATA_DIR: options.dataDir }),
    ...(options.runner === undefined ? {} : { FAIRWAY_RUNNER: options.runner }),
    ...(options.port === undefined ? {} : { FAIRWAY_API_PORT: String(options.port) }),
    ...(options.httpPort === undefined ? {} : { FAIRWAY_HTTP_PORT: String(options.httpPort) }),
  }
  return readConfig({ ...environment, ...overrides })
}

function programOf(name: 'server' | 'router', folder: DataFolder): BackgroundProgram {
  return { name, folder: folder.programs }
}

/** True where this call started it. */
async function ensureRunning(
  program: BackgroundProgram,
  config: Config,
  folder: DataFolder,
  answers: () => Promise<boolean>,
): Promise<boolean> {
  const pid = await runningPid(program)
  if (pid !== null && (await answers())) return false
  if (pid === null && (await answers())) {
    throw new FairwayError(
      'CONFLICT',
      `another ${program.name} answers on the same port with a different data folder`,
    )
  }
  await startInBackground(program, {
    node: process.execPath,
    args: [...NODE_FLAGS[program.name], resolve(import.meta.dirname, `${program.name}.ts`)],
    env: {
      ...minimalEnv(),
      ...passedOn(),
      ...asEnvironment(config),
      // Stripped and compiled code is kept: the next start is quicker and does without the type stripper's memory.
      NODE_COMPILE_CACHE: join(folder.cache, 'compile'),
    },
    timeoutMs: START_MS,
    answers,
  })
  return true
}

/** Package managers and proxies are configured by the environment on some hosts; builds follow the host. */
function passedOn(): Record<string, string> {
  const names =
    /^(npm_config_.*|PIP_.*|SSL_CERT_.*|NODE_EXTRA_CA_CERTS|(https?|no|all)_proxy|PYENV_.*|VIRTUAL_ENV|TMPDIR|XDG_.*|REGISTRY_AUTH_FILE|DOCKER_CONFIG|CONTAINERS_REGISTRIES_CONF)$/i
  return Object.fromEntries(
    Object.entries(environment).flatMap(([key, value]) =>
      value !== undefined && names.test(key) ? [[key, value]] : [],
    ),
  )
}

function apiUrl(config: Config): string {
  return `http://${config.api.host}:${String(config.api.port)}`
}

function routerUrls(config: Config): readonly string[] {
  const http = `http://localhost:${String(config.http.port)}`
  return config.https === null ? [http] : [http, `https://localhost:${String(config.https.port)}`]
}

async function claimOf(folder: DataFolder): Promise<string | null> {
  const own = await stat(folder.claimFile).then(
    ({ uid }) => uid === process.getuid?.(),
    () => false,
  )
  return own ? readIfExists(folder.claimFile) : null
}

async function programState(
  program: BackgroundProgram,
  url: string | null,
  answers: () => Promise<boolean>,
): Promise<ProgramState> {
  const pid = await runningPid(program)
  if (pid === null) return { state: 'stopped', pid: null, url: null, detail: 'not running' }
  if (await answers()) return { state: 'running', pid, url, detail: `pid ${String(pid)}` }
  return { state: 'failing', pid, url: null, detail: `does not answer; see ${logFile(program)}` }
}

async function routerAnswers(folder: DataFolder): Promise<boolean> {
  try {
    await connectTraffic(folder.routerSocket).status()
    return true
  } catch {
    return false
  }
}

function serverAnswers(config: Config): Promise<boolean> {
  return new Promise((resolveAnswer) => {
    const outgoing = request(
      `${apiUrl(config)}/v1/health`,
      { timeout: 2_000, agent: false },
      (response) => {
        response.resume()
        resolveAnswer(response.statusCode === 200)
      },
    )
    outgoing.once('timeout', () => outgoing.destroy())
    outgoing.once('error', () => resolveAnswer(false))
    outgoing.end()
  })
}
