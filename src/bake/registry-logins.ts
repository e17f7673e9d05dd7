import { z } from 'zod'
import { readIfExists } from '../lib/atomic-file.ts'
import { ProgramError, runToEnd } from '../lib/process.ts'
import { FairwayError } from '../model/errors.ts'
import type { Credentials } from '../oci/registry-session.ts'

/** `auths` and helpers as `podman login` and `docker login` leave them: containers-auth.json(5). Keys that we do not read are let be. */
const schema = z.object({
  auths: z.record(z.string(), z.object({ auth: z.string().optional() })).optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
})
const helperAnswer = z.object({ Username: z.string(), Secret: z.string() })

const HELPER_MS = 30_000

export interface LoginOptions {
  /** Files in the order in which they are asked; those that do not exist are passed over. */
  readonly files: readonly string[]
  /** Environment of credential helpers: PATH and HOME. */
  readonly env: Readonly<Record<string, string>>
}

/**
 * What the host's user has logged in with for `host[:port]/repository`; the longest key that fits wins, then the host alone. Null where nobody did.
 * @throws FairwayError REGISTRY_FAILED for a file that cannot be read, and for a helper that fails
 */
export async function registryLogin(
  name: string,
  { files, env }: LoginOptions,
): Promise<Credentials | null> {
  for (const file of files) {
    const text = await readIfExists(file)
    if (text === null || text.trim() === '') continue
    const found = await loginIn(parse(text, file), name, { file, env })
    if (found !== null) return found
  }
  return null
}

// Private

type AuthFile = z.infer<typeof schema>

interface From {
  readonly file: string
  readonly env: Readonly<Record<string, string>>
}

async function loginIn(auths: AuthFile, name: string, from: From): Promise<Credentials | null> {
  const host = name.split('/')[0] ?? ''
  const helper = auths.credHelpers?.[host]
  if (helper !== undefined) return askHelper(helper, host, from)
  const entries = new Map(
    Object.entries(auths.auths ?? {}).map(([key, { auth }]) => [normalised(key), auth]),
  )
  for (
    let scope = name;
    scope !== '';
    scope = scope.slice(0, Math.max(0, scope.lastIndexOf('/')))
  ) {
    const auth = entries.get(scope)
    if (auth !== undefined && auth !== '') return decoded(auth, scope, from.file)
  }
  return auths.credsStore === undefined ? null : askHelper(auths.credsStore, host, from)
}

function parse(text: string, file: string): AuthFile {
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    throw new FairwayError('REGISTRY_FAILED', `${file} is no file of registry logins`, {
      cause,
      hint: 'Repair it, or write it anew with `podman login` or `docker login`.',
    })
  }
}

/** Keys of older files are URLs: `https://registry.example/v1/`. */
function normalised(key: string): string {
  return key.replace(/^https?:\/\//, '').replace(/\/(?:v[12]\/?)?$/, '')
}

function decoded(auth: string, scope: string, file: string): Credentials {
  const text = Buffer.from(auth, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  if (colon < 1)
    throw new FairwayError('REGISTRY_FAILED', `${file}: the login for ${scope} is damaged`)
  // Docker pads what it stores with NULs on some platforms.
  return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') }
}

/** docker-credential-helpers: the host on standard input, JSON on standard output. */
async function askHelper(
  helper: string,
  host: string,
  { file, env }: From,
): Promise<Credentials | null> {
  if (!/^[\w.-]+$/.test(helper))
    throw new FairwayError('REGISTRY_FAILED', `${file} names the credential helper ${helper}`)
  const program = `docker-credential-${helper}`
  try {
    const { code, stdout } = await runToEnd(program, ['get'], {
      env,
      input: host,
      timeoutMs: HELPER_MS,
    })
    // That there is no login for a host is said in words only, which differ from one helper to the other.
    if (code !== 0) return null
    const { Username: username, Secret: password } = helperAnswer.parse(JSON.parse(stdout))
    return { username, password }
  } catch (cause) {
    const why = cause instanceof ProgramError ? 'cannot be started' : 'gave no credentials'
    throw new FairwayError('REGISTRY_FAILED', `${program}, which ${file} names, ${why}`, { cause })
  }
}
