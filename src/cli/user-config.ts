import { chmodSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isMissing } from '../lib/missing-file.ts'
import { FairwayError } from '../model/errors.ts'
import type { CliIo } from './io.ts'

/** What the CLI remembers of the servers that this user logged in to. */
export interface UserConfig {
  /** Base URL of the server that commands talk to unless told otherwise. */
  readonly current: string | null
  readonly servers: Readonly<Record<string, KnownServer>>
}

export interface KnownServer {
  readonly token: string
  /** Name of the token, for people. */
  readonly name: string
}

const EMPTY: UserConfig = { current: null, servers: {} }

/** `$XDG_CONFIG_HOME/fairway/config.json`, else below ~/.config. */
export function configPath(io: Pick<CliIo, 'env' | 'home'>): string {
  return join(xdg(io.env['XDG_CONFIG_HOME'], join(io.home, '.config')), 'fairway', 'config.json')
}

/** `$XDG_CACHE_HOME/fairway`, else below ~/.cache. */
export function cacheFolder(io: Pick<CliIo, 'env' | 'home'>): string {
  return join(xdg(io.env['XDG_CACHE_HOME'], join(io.home, '.cache')), 'fairway')
}

/** Nothing known where there is no file. @throws FairwayError INVALID_REQUEST where the file is broken */
export function readConfig(path: string): UserConfig {
  try {
    return parseConfig(JSON.parse(readFileSync(path, 'utf8')))
  } catch (cause) {
    if (isMissing(cause)) return EMPTY
    if (!(cause instanceof SyntaxError || cause instanceof TypeError)) throw cause
    throw new FairwayError('INVALID_REQUEST', `${path} is broken`, {
      cause,
      hint: 'Delete it and log in again.',
    })
  }
}

/** Readable by its owner alone. */
export async function writeConfig(path: string, config: UserConfig): Promise<void> {
  const { writeAtomically } = await import('../lib/atomic-file.ts')
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  await writeAtomically(path, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 })
  chmodSync(path, 0o600)
}

export function withServer(config: UserConfig, url: string, server: KnownServer): UserConfig {
  return { current: url, servers: { ...config.servers, [url]: server } }
}

/** Of the others none becomes the current one: the user says which. */
export function withoutServer({ current, servers }: UserConfig, url: string): UserConfig {
  const rest = Object.fromEntries(Object.entries(servers).filter(([each]) => each !== url))
  return { current: current === url ? null : current, servers: rest }
}

/** One spelling per server: no slash at the end, default ports left out. */
export function normalServer(url: string): string {
  return (URL.parse(url)?.href ?? url).replace(/\/+$/, '')
}

/** Relative values are to be ignored: XDG Base Directory Specification, "Environment variables". */
function xdg(value: string | undefined, fallback: string): string {
  return value?.startsWith('/') === true ? value : fallback
}

function parseConfig(value: unknown): UserConfig {
  const { current, servers } = value as Partial<UserConfig>
  if (typeof servers !== 'object' || !(current === null || typeof current === 'string')) {
    throw new TypeError('expected {"current", "servers"}')
  }
  for (const server of Object.values(servers)) {
    if (typeof server.token !== 'string' || typeof server.name !== 'string') {
      throw new TypeError('expected {"token", "name"} for every server')
    }
  }
  return { current, servers }
}
