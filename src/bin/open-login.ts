import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CredentialSeal } from '../identity/credential-seal.ts'
import { ProviderLogin } from '../identity/login.ts'
import { LoginProblem, type Provider } from '../identity/provider.ts'
import { Sessions } from '../identity/sessions.ts'
import { writeAtomically } from '../lib/atomic-file.ts'
import { isMissing } from '../lib/missing-file.ts'
import type { Log } from '../lib/log.ts'
import type { Audit } from '../model/audit.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { Grant, Person } from '../model/identity.ts'
import type { Login } from '../model/login.ts'
import type { UserStore } from '../model/users.ts'
import { apiUrl, type Config } from './config.ts'
import type { DataFolder } from './data-folder.ts'
import type { LoginConfig } from './login-config.ts'

export interface LoginParts {
  readonly login: Login
  readonly sessions: Sessions
}

export interface OpenLoginOptions {
  readonly config: Config
  readonly folder: DataFolder
  readonly store: UserStore
  readonly clock: Clock
  readonly log: Log
  readonly audit: Pick<Audit, 'note'>
  /** What bindings give to a person. */
  readonly grantsFor: (person: Person) => Promise<readonly Grant[]>
}

const HOUR_MS = 3_600_000
const KEY_BYTES = 32

/** Login at the configured provider, which is asked in the background: the server starts whatever it says. */
export async function openLogin(options: OpenLoginOptions): Promise<LoginParts> {
  const { config, folder, store, clock, log, audit, grantsFor } = options
  const { sessions: limits } = config
  const provider = config.login === null ? null : await openProvider(config.login, options)
  const seal = new CredentialSeal(await loginKey(join(folder.root, 'login.key')), randomBytes)
  const sessions = new Sessions({
    store,
    provider,
    seal,
    subjectOf: async (person) => ({ ...person, grants: await grantsFor(person) }),
    limits: {
      idleMs: limits.idleHours * HOUR_MS,
      totalMs: limits.totalHours * HOUR_MS,
      offlineMs: limits.offlineMinutes * 60_000,
    },
    clock,
    randomBytes,
    log,
    audit,
  })
  const login = new ProviderLogin({
    provider,
    publicUrl: publicUrl(config),
    sessions,
    clock,
    randomBytes,
  })
  return { login, sessions }
}

/** Where browsers reach this server. */
export function publicUrl(config: Config): string {
  return config.publicUrl ?? apiUrl(config)
}

async function openProvider(
  login: LoginConfig,
  { config, clock, log }: OpenLoginOptions,
): Promise<Provider> {
  // Loaded where it is used: most servers of one person have no provider.
  const { OpenIdProvider } = await import('../identity/openid-provider.ts')
  const { issuer, clientId, clientSecretFile, scopes, groupsClaim, nameClaim } = login
  const provider = new OpenIdProvider({
    issuer,
    clientId,
    clientSecret: clientSecretFile === null ? null : () => readSecret(clientSecretFile),
    scopes,
    groupsClaim,
    nameClaim,
    redirectUri: `${publicUrl(config)}/oidc/callback`,
    fetch,
    clock,
    log,
  })
  void provider.check().then(
    () => log.info({ issuer }, 'identity provider answers'),
    // Told by the provider itself; it is asked again when somebody logs in.
    () => undefined,
  )
  return provider
}

async function readSecret(path: string): Promise<string> {
  let text: string
  try {
    text = (await readFile(path, 'utf8')).trim()
  } catch (cause) {
    const why = isMissing(cause) ? 'is not there' : 'cannot be read'
    throw new LoginProblem('down', `FAIRWAY_OIDC_CLIENT_SECRET_FILE: ${path} ${why}`, cause)
  }
  if (text !== '') return text
  throw new LoginProblem('down', `FAIRWAY_OIDC_CLIENT_SECRET_FILE: ${path} is empty`)
}

/** Made at the first start, mode 0600. Without it the sessions in the store are worth nothing, and without them it is. */
async function loginKey(path: string): Promise<Uint8Array> {
  try {
    const key = await readFile(path)
    if (key.length === KEY_BYTES) return key
    throw new FairwayError('CONFLICT', `${path} is damaged: expected ${KEY_BYTES} bytes`, {
      hint: 'Restore it from the backup, or delete it: everybody logs in again.',
    })
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  const key = randomBytes(KEY_BYTES)
  await writeAtomically(path, key)
  return key
}
