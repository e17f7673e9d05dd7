/** What the environment says, as a type. Everything has a default; all problems are reported together. */
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { FairwayError } from '../model/errors.ts'
import { isName, parseTargetName, type TargetName } from '../model/names.ts'
import { environment, type Environment } from './environment.ts'
import {
  KEY_VARIABLES,
  keyConfig,
  keyEnvironment,
  keyProblems,
  type KeyConfig,
} from './key-config.ts'
import {
  LOGIN_VARIABLES,
  loginConfig,
  loginEnvironment,
  loginProblems,
  publicUrlOf,
  sessionConfig,
  type LoginConfig,
  type SessionConfig,
} from './login-config.ts'
import {
  VAULT_VARIABLES,
  vaultConfig,
  vaultEnvironment,
  vaultProblems,
  type VaultConfig,
} from './vault-config.ts'

export interface Config {
  readonly dataDir: string
  /** Connection URL of PostgreSQL, a secret; null = SQLite in the data folder. */
  readonly database: string | null
  /** Where the API and the registry listen. */
  readonly api: { readonly host: string; readonly port: number }
  readonly http: { readonly host: string; readonly port: number }
  /** Null = no TLS listener. */
  readonly https: { readonly host: string; readonly port: number } | null
  /** Where clusters and kubectl reach this server, by TLS; null = nowhere. */
  readonly access: AccessConfig | null
  readonly certificates: { readonly certFile: string; readonly keyFile: string } | null
  readonly runner: 'auto' | 'container' | 'process'
  /** Addresses of instances, runner `container` only. */
  readonly subnet: string
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
  readonly releasesKept: number
  readonly logsKeptDays: number
  readonly auditKeptDays: number
  /** Garbage collection leaves what is younger alone: it may belong to a deploy that is under way. */
  readonly collectGraceMinutes: number
  /** What only bakes use: kept so long after its last use, and so much of it. */
  readonly cacheKeptDays: number
  readonly cacheMaxMegabytes: number
  /** Trust domain of the instances' identities; null = named after the installation. */
  readonly trustDomain: string | null
  /** Life of an instance's certificate. */
  readonly svidMinutes: number
  /** Additional names under which the API may be called, besides loopback. */
  readonly hostNames: readonly string[]
  /** Base URL under which browsers reach the API; null = as this machine reaches it. */
  readonly publicUrl: string | null
  /** Where people log in; null = with tokens only. */
  readonly login: LoginConfig | null
  readonly sessions: SessionConfig
  /** Where values of apps come from besides encrypted files; null = from nowhere. */
  readonly vault: VaultConfig | null
  /** Keys of environments that are kept elsewhere. */
  readonly keys: KeyConfig
  /** What servers log in with to `registry.ts`; null = there is none. A secret. */
  readonly registryPassword: string | null
  /** File with the key that secrets in the database are encrypted under; null = `secrets.key` of the data folder. */
  readonly serverKeyFile: string | null
  /** The same for pulling alone; null = there is none. A secret. */
  readonly registryPullPassword: string | null
  /** Set where this server runs in a cluster, to which it deploys. Never passed on: `fairway install` writes it. */
  readonly home: HomeConfig | null
}

export interface AccessConfig {
  readonly host: string
  /** 0 = any that is free. */
  readonly port: number
  /** How it is called from outside; null = by host and port. */
  readonly url: string | null
  /** Folder with `ca.pem` and `ca-key.pem` of its authority, the same for all servers of a database; null = in the data folder, made there. */
  readonly authority: string | null
  /** Null = signed by an authority of this server's own. */
  readonly certificates: { readonly certFile: string; readonly keyFile: string } | null
}

/** A server without a machine: apps run in the cluster around it. */
export interface HomeConfig {
  /** Name under which it owns what it makes; '' = its own choice. */
  readonly owner: string
  /** Name of the target that this cluster is, also for environments that name none. */
  readonly target: TargetName
  /** Settings of that target: its registry with password. */
  readonly settings: Readonly<Record<string, string>>
  readonly namespace: string
  readonly pod: string
  /** Reference of the image that it runs from; '' where nobody told. */
  readonly image: string
  /** Where the kubelet asks. */
  readonly healthPort: number
  /** Of the cluster's API server, as every pod is told. */
  readonly apiServer: { readonly host: string; readonly port: string }
}

const portNumber = 'expected a port number from 0 to 65535'
const port = z.coerce.number(portNumber).int(portNumber).min(0, portNumber).max(65_535, portNumber)
const settings = z.record(z.string(), z.string())
const schema = z.object({
  FAIRWAY_DATA_DIR: z.string().min(1).optional(),
  FAIRWAY_DATABASE: z
    .string()
    .regex(
      /^(sqlite$|postgres(ql)?:\/\/)/,
      'expected sqlite, or the URL of a PostgreSQL database: postgres://…',
    )
    .default('sqlite'),
  FAIRWAY_API_HOST: z.string().min(1).default('127.0.0.1'),
  FAIRWAY_API_PORT: port.default(7070),
  FAIRWAY_HTTP_HOST: z.string().min(1).default('127.0.0.1'),
  FAIRWAY_HTTP_PORT: port.default(8080),
  FAIRWAY_HTTPS_HOST: z.string().min(1).default('127.0.0.1'),
  FAIRWAY_HTTPS_PORT: z.union([z.literal('off'), port]).default(8443),
  FAIRWAY_ACCESS_HOST: z.string().min(1).default('127.0.0.1'),
  FAIRWAY_ACCESS_PORT: z.union([z.literal('off'), port]).default(7443),
  FAIRWAY_ACCESS_URL: z
    .string()
    .regex(/^https:\/\/[^/?#@]+$/, 'expected https://HOST or https://HOST:PORT')
    .optional(),
  FAIRWAY_ACCESS_AUTHORITY: z.string().min(1).optional(),
  FAIRWAY_ACCESS_CERT: z.string().min(1).optional(),
  FAIRWAY_ACCESS_KEY: z.string().min(1).optional(),
  FAIRWAY_TLS_CERT: z.string().min(1).optional(),
  FAIRWAY_TLS_KEY: z.string().min(1).optional(),
  FAIRWAY_RUNNER: z.enum(['auto', 'container', 'process']).default('auto'),
  FAIRWAY_SUBNET: z
    .string()
    .regex(/^\d+\.\d+\.\d+\.\d+\/\d+$/, 'expected an IPv4 network such as 10.201.0.0/16')
    .default('10.201.0.0/16'),
  FAIRWAY_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  FAIRWAY_RELEASES_KEPT: z.coerce.number().int().min(1).max(1000).default(10),
  FAIRWAY_LOGS_KEPT_DAYS: z.coerce.number().int().min(1).max(3650).default(14),
  FAIRWAY_AUDIT_KEPT_DAYS: z.coerce.number().int().min(1).max(36_500).default(400),
  FAIRWAY_COLLECT_GRACE_MINUTES: z.coerce.number().min(0).max(525_600).default(60),
  FAIRWAY_CACHE_KEPT_DAYS: z.coerce.number().int().min(1).max(3650).default(30),
  FAIRWAY_CACHE_MAX_MB: z.coerce.number().int().min(0).max(100_000_000).default(10_000),
  FAIRWAY_TRUST_DOMAIN: z
    .string()
    .regex(/^[a-z0-9._-]{1,255}$/, 'expected at most 255 of a-z, 0-9, ., - and _')
    .optional(),
  FAIRWAY_SVID_MINUTES: z.coerce.number().min(10).max(1440).default(60),
  FAIRWAY_HOST_NAMES: z.string().default(''),
  ...LOGIN_VARIABLES,
  ...VAULT_VARIABLES,
  ...KEY_VARIABLES,
  FAIRWAY_REGISTRY_PASSWORD: z.string().min(1).optional(),
  FAIRWAY_SECRETS_KEY_FILE: z.string().min(1).optional(),
  FAIRWAY_REGISTRY_PULL_PASSWORD: z.string().min(1).optional(),
  FAIRWAY_HOME_TARGET: z.string().refine(isName, 'expected the name of a target').optional(),
  FAIRWAY_HOME_SETTINGS: z
    .string()
    .default('{}')
    .transform((text, context) => {
      const parsed = settings.safeParse(parseJson(text))
      if (parsed.success) return parsed.data
      // What it is stays out of messages: it holds a password.
      context.addIssue('expected a JSON object of texts')
      return z.NEVER
    }),
  FAIRWAY_NAMESPACE: z.string().default('fairway-system'),
  FAIRWAY_POD: z.string().default(''),
  FAIRWAY_HOME_IMAGE: z.string().default(''),
  FAIRWAY_HOME_OWNER: z.string().default(''),
  FAIRWAY_HEALTH_PORT: port.default(7071),
  KUBERNETES_SERVICE_HOST: z.string().default(''),
  KUBERNETES_SERVICE_PORT: z.string().default('443'),
})

/** @throws FairwayError INVALID_REQUEST naming every wrong variable */
export function readConfig(env: Environment = environment): Config {
  const parsed = schema.safeParse(env)
  const problems = parsed.success
    ? [
        ...loginProblems(parsed.data),
        ...vaultProblems(parsed.data),
        ...keyProblems(parsed.data, vaultConfig(parsed.data) !== null),
      ]
    : parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
  if (!parsed.success || problems.length > 0) {
    throw new FairwayError(
      'INVALID_REQUEST',
      `the environment is not valid:\n${problems.join('\n')}`,
      { hint: 'Correct or unset them; docs/operating.md describes every variable.' },
    )
  }
  const values = parsed.data
  const { FAIRWAY_TLS_CERT: certFile, FAIRWAY_TLS_KEY: keyFile } = values
  checkPairs(values)
  return Object.freeze({
    dataDir: resolve(values.FAIRWAY_DATA_DIR ?? defaultDataDir(env)),
    database: values.FAIRWAY_DATABASE === 'sqlite' ? null : values.FAIRWAY_DATABASE,
    api: { host: values.FAIRWAY_API_HOST, port: values.FAIRWAY_API_PORT },
    http: { host: values.FAIRWAY_HTTP_HOST, port: values.FAIRWAY_HTTP_PORT },
    https:
      values.FAIRWAY_HTTPS_PORT === 'off'
        ? null
        : { host: values.FAIRWAY_HTTPS_HOST, port: values.FAIRWAY_HTTPS_PORT },
    access: accessOf(values),
    certificates: certFile === undefined || keyFile === undefined ? null : { certFile, keyFile },
    runner: values.FAIRWAY_RUNNER,
    subnet: values.FAIRWAY_SUBNET,
    logLevel: values.FAIRWAY_LOG_LEVEL,
    releasesKept: values.FAIRWAY_RELEASES_KEPT,
    logsKeptDays: values.FAIRWAY_LOGS_KEPT_DAYS,
    auditKeptDays: values.FAIRWAY_AUDIT_KEPT_DAYS,
    collectGraceMinutes: values.FAIRWAY_COLLECT_GRACE_MINUTES,
    cacheKeptDays: values.FAIRWAY_CACHE_KEPT_DAYS,
    cacheMaxMegabytes: values.FAIRWAY_CACHE_MAX_MB,
    trustDomain: values.FAIRWAY_TRUST_DOMAIN ?? null,
    svidMinutes: values.FAIRWAY_SVID_MINUTES,
    hostNames: values.FAIRWAY_HOST_NAMES.split(',').filter((name) => name !== ''),
    publicUrl: publicUrlOf(values),
    login: loginConfig(values),
    sessions: sessionConfig(values),
    vault: vaultConfig(values),
    keys: keyConfig(values, env),
    registryPassword: values.FAIRWAY_REGISTRY_PASSWORD ?? null,
    serverKeyFile:
      values.FAIRWAY_SECRETS_KEY_FILE === undefined
        ? null
        : resolve(values.FAIRWAY_SECRETS_KEY_FILE),
    registryPullPassword: values.FAIRWAY_REGISTRY_PULL_PASSWORD ?? null,
    home: homeOf(values),
  })
}

/** Where this machine reaches the API: a server that listens on every address is called on loopback. */
export function apiUrl({ api }: Config): string {
  const wildcards: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }
  const host = wildcards[api.host] ?? api.host
  return `http://${host.includes(':') ? `[${host}]` : host}:${String(api.port)}`
}

/** Where people reach the apps. */
export function routerUrls(config: Config): readonly string[] {
  const http = `http://localhost:${String(config.http.port)}`
  return config.https === null ? [http] : [http, `https://localhost:${String(config.https.port)}`]
}

/** The same configuration as variables, for the programs that `fairway up` starts. */
export function asEnvironment(config: Config): Record<string, string> {
  return {
    FAIRWAY_DATA_DIR: config.dataDir,
    FAIRWAY_DATABASE: config.database ?? 'sqlite',
    FAIRWAY_API_HOST: config.api.host,
    FAIRWAY_API_PORT: String(config.api.port),
    FAIRWAY_HTTP_HOST: config.http.host,
    FAIRWAY_HTTP_PORT: String(config.http.port),
    FAIRWAY_HTTPS_HOST: config.https?.host ?? '127.0.0.1',
    FAIRWAY_HTTPS_PORT: config.https === null ? 'off' : String(config.https.port),
    ...(config.certificates === null
      ? {}
      : {
          FAIRWAY_TLS_CERT: config.certificates.certFile,
          FAIRWAY_TLS_KEY: config.certificates.keyFile,
        }),
    ...(config.serverKeyFile === null ? {} : { FAIRWAY_SECRETS_KEY_FILE: config.serverKeyFile }),
    ...accessEnvironment(config),
    FAIRWAY_RUNNER: config.runner,
    FAIRWAY_SUBNET: config.subnet,
    FAIRWAY_LOG_LEVEL: config.logLevel,
    FAIRWAY_RELEASES_KEPT: String(config.releasesKept),
    FAIRWAY_LOGS_KEPT_DAYS: String(config.logsKeptDays),
    FAIRWAY_AUDIT_KEPT_DAYS: String(config.auditKeptDays),
    FAIRWAY_COLLECT_GRACE_MINUTES: String(config.collectGraceMinutes),
    FAIRWAY_CACHE_KEPT_DAYS: String(config.cacheKeptDays),
    FAIRWAY_CACHE_MAX_MB: String(config.cacheMaxMegabytes),
    ...(config.trustDomain === null ? {} : { FAIRWAY_TRUST_DOMAIN: config.trustDomain }),
    FAIRWAY_SVID_MINUTES: String(config.svidMinutes),
    FAIRWAY_HOST_NAMES: config.hostNames.join(','),
    ...(config.publicUrl === null ? {} : { FAIRWAY_PUBLIC_URL: config.publicUrl }),
    ...loginEnvironment(config.login, config.sessions),
    ...vaultEnvironment(config.vault),
    ...keyEnvironment(config.keys),
  }
}

/** @throws FairwayError INVALID_REQUEST where a certificate comes without its key, or a key alone */
function checkPairs(values: z.output<typeof schema>): void {
  for (const [certificate, key] of [
    ['FAIRWAY_TLS_CERT', 'FAIRWAY_TLS_KEY'],
    ['FAIRWAY_ACCESS_CERT', 'FAIRWAY_ACCESS_KEY'],
  ] as const) {
    if ((values[certificate] === undefined) === (values[key] === undefined)) continue
    throw new FairwayError('INVALID_REQUEST', `${certificate} and ${key} belong together`)
  }
}

function accessOf(values: z.output<typeof schema>): AccessConfig | null {
  if (values.FAIRWAY_ACCESS_PORT === 'off') return null
  const { FAIRWAY_ACCESS_CERT: certFile, FAIRWAY_ACCESS_KEY: keyFile } = values
  return {
    host: values.FAIRWAY_ACCESS_HOST,
    port: values.FAIRWAY_ACCESS_PORT,
    url: values.FAIRWAY_ACCESS_URL ?? null,
    authority:
      values.FAIRWAY_ACCESS_AUTHORITY === undefined
        ? null
        : resolve(values.FAIRWAY_ACCESS_AUTHORITY),
    certificates: certFile === undefined || keyFile === undefined ? null : { certFile, keyFile },
  }
}

function accessEnvironment({ access }: Config): Record<string, string> {
  if (access === null) return { FAIRWAY_ACCESS_PORT: 'off' }
  return {
    FAIRWAY_ACCESS_HOST: access.host,
    FAIRWAY_ACCESS_PORT: String(access.port),
    ...(access.url === null ? {} : { FAIRWAY_ACCESS_URL: access.url }),
    ...(access.authority === null ? {} : { FAIRWAY_ACCESS_AUTHORITY: access.authority }),
    ...(access.certificates === null
      ? {}
      : {
          FAIRWAY_ACCESS_CERT: access.certificates.certFile,
          FAIRWAY_ACCESS_KEY: access.certificates.keyFile,
        }),
  }
}

function homeOf(values: z.output<typeof schema>): HomeConfig | null {
  if (values.FAIRWAY_HOME_TARGET === undefined) return null
  return {
    owner: values.FAIRWAY_HOME_OWNER,
    target: parseTargetName(values.FAIRWAY_HOME_TARGET),
    settings: values.FAIRWAY_HOME_SETTINGS,
    namespace: values.FAIRWAY_NAMESPACE,
    pod: values.FAIRWAY_POD,
    image: values.FAIRWAY_HOME_IMAGE,
    healthPort: values.FAIRWAY_HEALTH_PORT,
    apiServer: { host: values.KUBERNETES_SERVICE_HOST, port: values.KUBERNETES_SERVICE_PORT },
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** As root a system folder, else the user's. */
function defaultDataDir(env: Environment): string {
  if (process.getuid?.() === 0) return '/var/lib/fairway'
  return join(env['XDG_DATA_HOME'] ?? join(env['HOME'] ?? homedir(), '.local/share'), 'fairway')
}
