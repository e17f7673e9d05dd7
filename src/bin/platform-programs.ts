import { existsSync } from 'node:fs'
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
  runningProgram,
  startDetached,
  startInBackground,
  stopInBackground,
  watchStarted,
  type BackgroundProgram,
  type StartOptions,
} from './background-program.ts'
import { apiUrl, asEnvironment, readConfig, routerUrls, type Config } from './config.ts'
import { environment } from './environment.ts'
import { NO_KEYS } from './key-config.ts'
import { createDataFolder, dataFolder, type DataFolder } from './data-folder.ts'
import { packageVersion } from './version.ts'
import { oneAtATime } from './one-at-a-time.ts'

const START_MS = 60_000
const STOP_MS = 20_000
/** How long a program that runs may be silent before another is started in its place. */
const SILENCE_MS = 15_000
/** How long one `up` waits for another. */
const TURN_MS = 2 * START_MS + STOP_MS
/**
 * The server is idle most of the time: a small young generation and no helper threads of the collector save 25 MB. The router is not, and has the
 * defaults. Both give memory back in quiet moments: quiet-memory.ts.
 */
const NODE_FLAGS = {
  server: ['--expose-gc', '--max-semi-space-size=4', '--single-threaded-gc'],
  router: ['--expose-gc'],
} as const

/** Server and router of this machine as `fairway up`, `down` and `status` see them. */
export const platformPrograms: PlatformPrograms = { up, down, status }

async function up(options: UpOptions, say: (line: string) => void): Promise<RunningPlatform> {
  const config = configured(options)
  const folder = dataFolder(config.dataDir)
  await createDataFolder(folder)
  // Two of them would each start a router, and one of the two would be left that nobody knows of.
  return oneAtATime(lockFile(folder), TURN_MS, () =>
    startBoth({ config, folder, restart: options.restart }, say),
  )
}

interface Installation {
  readonly config: Config
  readonly folder: DataFolder
  /** Replaces what runs. */
  readonly restart: boolean
}

async function startBoth(
  installation: Installation,
  say: (line: string) => void,
): Promise<RunningPlatform> {
  const { config, folder } = installation
  const started: ('router' | 'server')[] = []
  const added: ('router' | 'server')[] = []
  for (const name of ['router', 'server'] as const) {
    try {
      const outcome = await ensureRunning(name, installation)
      if (outcome === 'was running') continue
      if (outcome === 'started') added.push(name)
      started.push(name)
      say(`${name} ${outcome}`)
    } catch (error) {
      // What this call started alone would be half a platform.
      for (const other of added) await stopInBackground(programOf(other, folder), STOP_MS)
      throw error
    }
  }
  const [router, server] = await Promise.all(
    (['router', 'server'] as const).map((name) => runningProgram(programOf(name, folder))),
  )
  const claim = await claimOf(folder)
  const url = server?.urls[0] ?? apiUrl(config)
  return {
    url,
    routerUrls: router?.urls ?? routerUrls(config),
    caFile: config.https === null || config.certificates !== null ? null : folder.routerAuthority,
    claim,
    claimUrl: claim === null ? null : `${url}/claim#${claim}`,
    dataDir: config.dataDir,
    runner: server?.runner ?? config.runner,
    started,
  }
}

async function down(
  options: DownOptions,
  say: (line: string) => void,
): Promise<{ readonly stopped: readonly ('server' | 'router')[] }> {
  const config = configured(options)
  const folder = dataFolder(config.dataDir)
  const stop = (): ReturnType<typeof stopBoth> => stopBoth({ config, folder, options }, say)
  // Where nothing was ever started there is no folder to lock, and none to make.
  return existsSync(folder.programs) ? oneAtATime(lockFile(folder), TURN_MS, stop) : stop()
}

interface Stop {
  readonly config: Config
  readonly folder: DataFolder
  readonly options: DownOptions
}

async function stopBoth(
  { config, folder, options }: Stop,
  say: (line: string) => void,
): Promise<{ readonly stopped: readonly ('server' | 'router')[] }> {
  const stopped: ('server' | 'router')[] = []
  const names = options.keepRouter ? (['server'] as const) : (['server', 'router'] as const)
  for (const name of names) {
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
    programState(programOf('server', folder), config, folder),
    programState(programOf('router', folder), config, folder),
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

function lockFile(folder: DataFolder): string {
  return join(folder.programs, 'up.lock')
}

function programOf(name: 'server' | 'router', folder: DataFolder): BackgroundProgram {
  return { name, folder: folder.programs }
}

/** A router is replaced under way: the old one starts the new one with its sockets, and finishes what it has once that serves. */
async function ensureRunning(
  name: 'router' | 'server',
  { config, folder, restart }: Installation,
): Promise<'was running' | 'started' | 'replaced'> {
  const program = programOf(name, folder)
  const old = await runningProgram(program)
  const answering = old !== null && (await answersInTime(old.pid, program, { config, folder }))
  if (answering) {
    if (!restart && old.version === packageVersion()) return 'was running'
    if (name === 'server') await stopInBackground(program, STOP_MS)
  }
  const answers = async (): Promise<boolean> => {
    const now = await runningProgram(program)
    // What it serves is told once it has written it down, which is after its first answer.
    const isTold = now !== null && now.pid !== old?.pid && now.urls.length > 0
    return isTold && (await programAnswers(program, config, folder))
  }
  if (name === 'server' && (await serverAnswers(apiUrl(config)))) {
    throw new FairwayError(
      'CONFLICT',
      `another Fairway server, with another data directory, answers at ${apiUrl(config)}`,
      {
        hint: 'Name its directory with --data, or choose other ports with --port and --http-port.',
      },
    )
  }
  await startInBackground(program, {
    program: process.execPath,
    args: [...NODE_FLAGS[program.name], resolve(import.meta.dirname, `${program.name}.ts`)],
    start: name === 'router' && answering ? startInPlaceOf(program, folder) : startDetached,
    env: {
      ...minimalEnv(),
      ...passedOn(),
      // The router faces the network and needs no database.
      ...asEnvironment(name === 'router' ? { ...config, database: null, keys: NO_KEYS } : config),
      // Stripped and compiled code is kept: the next start is quicker and does without the type stripper's memory.
      NODE_COMPILE_CACHE: join(folder.cache, 'compile'),
    },
    timeoutMs: START_MS,
    answers,
  })
  return old === null ? 'started' : 'replaced'
}

function startInPlaceOf(router: BackgroundProgram, folder: DataFolder): StartOptions['start'] {
  return async (command) => {
    const order = { ...command, args: [...command.args] }
    try {
      const { pid } = await connectTraffic(folder.routerSocket).succeed(order)
      return await watchStarted(pid)
    } catch (error) {
      if (!(error instanceof FairwayError) || error.code !== 'NOT_FOUND') throw error
      // A router of a version that cannot hand over: nothing is open between the two.
      await stopInBackground(router, STOP_MS)
      return startDetached(command)
    }
  }
}

/** One that runs and does not answer may be about to: it still starts, or its machine is slow. False where it ends or stays silent. */
async function answersInTime(
  pid: number,
  program: BackgroundProgram,
  { config, folder }: Pick<Installation, 'config' | 'folder'>,
): Promise<boolean> {
  const deadline = performance.now() + SILENCE_MS
  while (!(await programAnswers(program, config, folder))) {
    if (performance.now() > deadline) return false
    if ((await runningProgram(program))?.pid !== pid) return false
    await new Promise((done) => setTimeout(done, 100))
  }
  return true
}

/** Package managers and proxies are configured by the environment on some hosts; builds follow the host. */
function passedOn(): Record<string, string> {
  const names =
    /^(npm_config_.*|PIP_.*|SSL_CERT_.*|NODE_EXTRA_CA_CERTS|(https?|no|all)_proxy|PYENV_.*|VIRTUAL_ENV|TMPDIR|XDG_.*|REGISTRY_AUTH_FILE|DOCKER_CONFIG|CONTAINERS_REGISTRIES_CONF|PG[A-Z]+)$/i
  return Object.fromEntries(
    Object.entries(environment).flatMap(([key, value]) =>
      value !== undefined && names.test(key) ? [[key, value]] : [],
    ),
  )
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
  config: Config,
  folder: DataFolder,
): Promise<ProgramState> {
  const running = await runningProgram(program)
  if (running === null) return { state: 'stopped', pid: null, url: null, detail: 'not running' }
  const { pid, urls } = running
  const log = `log ${logFile(program)}`
  if (await programAnswers(program, config, folder)) {
    return { state: 'running', pid, url: urls[0] ?? null, detail: `pid ${String(pid)}, ${log}` }
  }
  return { state: 'failing', pid, url: null, detail: `pid ${String(pid)} does not answer, ${log}` }
}

/** True where the program of this data folder runs and answers, on whatever port it was started with. */
async function programAnswers(
  program: BackgroundProgram,
  config: Config,
  folder: DataFolder,
): Promise<boolean> {
  const running = await runningProgram(program)
  if (running === null) return false
  if (program.name === 'router') return routerAnswers(folder)
  return serverAnswers(running.urls[0] ?? apiUrl(config))
}

async function routerAnswers(folder: DataFolder): Promise<boolean> {
  try {
    await connectTraffic(folder.routerSocket).status()
    return true
  } catch {
    return false
  }
}

function serverAnswers(url: string): Promise<boolean> {
  return new Promise((resolveAnswer) => {
    const outgoing = request(`${url}/v1/health`, { timeout: 2_000, agent: false }, (response) => {
      response.resume()
      resolveAnswer(response.statusCode === 200)
    })
    outgoing.once('timeout', () => outgoing.destroy())
    outgoing.once('error', () => resolveAnswer(false))
    outgoing.end()
  })
}
