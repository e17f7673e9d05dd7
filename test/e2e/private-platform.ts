import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { minimalEnv, runToEnd, type RunResult } from '../../src/lib/process.ts'
import { ERRORS } from '../../src/model/errors.ts'

const root = resolve(import.meta.dirname, '../..')
const cli = join(root, 'bin/fairway')

export interface PrivatePlatform {
  readonly dataDir: string
  readonly apiPort: number
  readonly httpPort: number
  readonly env: Readonly<Record<string, string>>
  /** Runs the real CLI as a program of its own against this platform. */
  fairway(
    args: readonly string[],
    options?: { readonly cwd?: string; readonly timeoutMs?: number; readonly input?: string },
  ): Promise<RunResult>
  /** Same, must succeed; returns standard output. */
  must(
    args: readonly string[],
    options?: { readonly cwd?: string; readonly timeoutMs?: number },
  ): Promise<string>
  /** Stops server, router and all instances, removes everything from disk and host. */
  destroy(): Promise<void>
}

export interface PrivatePlatformOptions {
  readonly runner: 'container' | 'process'
  /** Instances of several platforms on one host need subnets of their own. */
  readonly subnet?: string
  readonly env?: Readonly<Record<string, string>>
  /** Where it is free; something else may know the server by it already. */
  readonly apiPort?: number
}

/** A whole Fairway of our own: real server, real router, own data folder and ports, started by `fairway up` as a user would. */
export async function startPrivatePlatform(
  options: PrivatePlatformOptions,
): Promise<PrivatePlatform> {
  const home = await mkdtemp(join(tmpdir(), 'fairway-e2e-'))
  const dataDir = join(home, 'data')
  const [apiPort = 0, httpPort = 0] = await freePorts(2, [options.apiPort ?? 0])
  const env = {
    ...minimalEnv(),
    HOME: home,
    ...passedOn(),
    FAIRWAY_DATA_DIR: dataDir,
    FAIRWAY_API_PORT: String(apiPort),
    FAIRWAY_HTTP_PORT: String(httpPort),
    FAIRWAY_HTTPS_PORT: 'off',
    FAIRWAY_RUNNER: options.runner,
    ...(options.subnet === undefined ? {} : { FAIRWAY_SUBNET: options.subnet }),
    ...options.env,
  }
  const fairway: PrivatePlatform['fairway'] = (args, { cwd, timeoutMs = 300_000, input } = {}) =>
    runToEnd(cli, [...args], {
      env,
      timeoutMs,
      cwd: cwd ?? home,
      ...(input === undefined ? {} : { input }),
      maxOutput: 64 << 20,
    })
  const must: PrivatePlatform['must'] = async (args, given) => {
    const result = await fairway(args, given)
    if (result.code === 0) return result.stdout
    const failures = result.code === ERRORS.INTERNAL.exit ? await loggedFailures(dataDir) : ''
    throw new Error(
      `fairway ${args.join(' ')}: exit ${String(result.code)}\n${result.stdout}\n${result.stderr}\n${failures}`,
    )
  }
  const destroy = async (): Promise<void> => {
    await fairway(['down', '--apps'])
    await rm(home, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    await must(['up'])
  } catch (error) {
    await destroy()
    throw error
  }
  return { dataDir, apiPort, httpPort, env, fairway, must, destroy }
}

/** What the server itself says of requests that failed by its fault. */
async function loggedFailures(dataDir: string): Promise<string> {
  const log = await readFile(join(dataDir, 'programs/server.log'), 'utf8').catch(String)
  return log
    .split('\n')
    .filter((line) => line.includes('request failed'))
    .slice(-3)
    .join('\n')
}

/** Package managers are configured by the environment on some machines; builds need the same. */
export function passedOn(): Record<string, string> {
  const names =
    /^(npm_config_|NPM_CONFIG_|PIP_|SSL_CERT_|NODE_EXTRA_CA_CERTS$|https?_proxy$|no_proxy$|HTTPS?_PROXY$|NO_PROXY$|GOPROXY$|GOFLAGS$)/
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([key, value]) =>
      value !== undefined && names.test(key) ? [[key, value]] : [],
    ),
  )
}

/**
 * Whoever was told of a port uses it a moment later, in which nobody else may get it: the system hands out none of these by itself (Linux: from 32768
 * on), and the process runner takes its doors above them.
 */
const PORTS = { first: 10_000, count: 10_000 }

/** Ports of loopback that nobody has, nor gets unless it asks for that very one, and that no other test is given; each of `wanted` where it is free. */
export async function freePorts(count: number, wanted: readonly number[] = []): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, (_, index) => listen(wanted[index] ?? 0)),
  )
  const ports = servers.map((server) => {
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  })
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))))
  return ports
}

/** @param wanted 0 = any; so it is where the port is taken */
async function listen(wanted: number): Promise<Server> {
  const server = createServer()
  server.listen(wanted === 0 ? await claimedPort() : wanted, '127.0.0.1')
  try {
    await once(server, 'listening')
    return server
  } catch (error) {
    const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
    if (wanted === 0 && !isTaken) throw error
    return listen(0)
  }
}

/** One that is ours as long as this process lives: the mark is the port of that number of UDP, which nobody needs. */
async function claimedPort(): Promise<number> {
  for (;;) {
    const port = PORTS.first + randomInt(PORTS.count)
    const mark = createSocket('udp4')
    mark.unref()
    mark.bind({ port, address: '127.0.0.1', exclusive: true })
    try {
      await once(mark, 'listening')
      return port
    } catch {
      mark.close()
    }
  }
}
