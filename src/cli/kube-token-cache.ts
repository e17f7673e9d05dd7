/** Imports nothing that takes time: a cached token must be there in a few milliseconds, for kubectl waits for it at each start. */
import { readFileSync, statSync } from 'node:fs'

/** What `fairway kube-token` is asked for. */
export interface TokenWish {
  readonly server: string
  readonly target: string
  /** Null = every environment. */
  readonly environment: string | null
}

export interface CachedToken {
  readonly token: string
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
}

export interface StartEnvironment {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly home: string
  readonly now: number
}

/** Told to kubectl that much too early: it must not begin a request with a token that expires on the way. */
export const EARLY_MS = 45_000

export type ExecVersion = (typeof VERSIONS)[number]
const VERSIONS = [
  'client.authentication.k8s.io/v1',
  'client.authentication.k8s.io/v1beta1',
] as const

/**
 * What to print for exactly the command line that `fairway kubeconfig` writes, where a token is cached; null for everything else, which the command itself
 * judges. Never throws.
 */
export function cachedCredential(argv: readonly string[], start: StartEnvironment): string | null {
  try {
    const wish = parseWish(argv)
    const version = wish === null ? null : execVersion(start.env['KUBERNETES_EXEC_INFO'])
    if (wish === null || version === null) return null
    const credential = credentialOf(wish.server, start)
    const found =
      credential === null ? null : readToken(tokenFile(wish, credential, start), start.now)
    return found === null ? null : execCredential(version, found)
  } catch {
    return null
  }
}

/** Answer to kubectl (client.authentication.k8s.io ExecCredential), in the version that it asked in. */
export function execCredential(version: ExecVersion, { token, expiresAt }: CachedToken): string {
  const expirationTimestamp = new Date(expiresAt - EARLY_MS).toISOString()
  const status = { token, expirationTimestamp }
  return `${JSON.stringify({ apiVersion: version, kind: 'ExecCredential', status })}\n`
}

/** The version that KUBERNETES_EXEC_INFO asks in; v1 where nothing asks; null for one that is not known. */
export function execVersion(info: string | undefined): ExecVersion | null {
  if (info === undefined || info === '') return VERSIONS[0]
  const value: unknown = JSON.parse(info)
  const asked =
    typeof value === 'object' && value !== null && 'apiVersion' in value ? value.apiVersion : ''
  return VERSIONS.find((version) => version === asked) ?? null
}

/** One file per server, login, cluster and environment: whoever logs in as somebody else finds nothing of before. */
export function tokenFile(
  { server, target, environment }: TokenWish,
  credential: string,
  { env, home }: Pick<StartEnvironment, 'env' | 'home'>,
): string {
  const base =
    env['XDG_CACHE_HOME']?.startsWith('/') === true ? env['XDG_CACHE_HOME'] : `${home}/.cache`
  const name = [server, target, environment ?? '', credential].map(encodeURIComponent).join('~')
  return `${base}/fairway/kube/${name}`
}

/** Null where there is none that is good for a while, or where others may read it. */
export function readToken(path: string, now: number): CachedToken | null {
  let text: string
  try {
    const { mode, uid } = statSync(path)
    if ((mode & 0o077) !== 0 || (process.getuid !== undefined && uid !== process.getuid()))
      return null
    text = readFileSync(path, 'utf8')
  } catch {
    return null
  }
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null) return null
  if (!('token' in value && 'expiresAt' in value)) return null
  const { token, expiresAt } = value
  if (typeof token !== 'string' || typeof expiresAt !== 'number') return null
  return now < expiresAt - EARLY_MS ? { token, expiresAt } : null
}

/** Name of the credential that this server would be called with (`credentialName` in model/kube-access.ts). */
export function credentialOf(
  server: string,
  { env, home }: Pick<StartEnvironment, 'env' | 'home'>,
): string | null {
  const given = env['FAIRWAY_TOKEN'] ?? ''
  const token = given === '' ? loggedIn(server, env['XDG_CONFIG_HOME'], home) : given
  return /^(fw[a-z]_[0-9A-Za-z]{1,64})_[0-9A-Za-z]+$/.exec(token)?.[1] ?? null
}

// Private

function parseWish(argv: readonly string[]): TokenWish | null {
  const [command, first, server, second, target, third, environment = null, ...more] = argv
  if (command !== 'kube-token' || first !== '--server' || second !== '--target') return null
  if (server === undefined || target === undefined || more.length > 0) return null
  if (third !== undefined && (third !== '--env' || environment === null)) return null
  return { server, target, environment }
}

function loggedIn(server: string, xdg: string | undefined, home: string): string {
  const base = xdg?.startsWith('/') === true ? xdg : `${home}/.config`
  const config: unknown = JSON.parse(readFileSync(`${base}/fairway/config.json`, 'utf8'))
  const servers = fieldOf(config, 'servers')
  const token = fieldOf(fieldOf(servers, server), 'token')
  return typeof token === 'string' ? token : ''
}

function fieldOf(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
  return Object.entries(value).find(([name]) => name === key)?.[1]
}
