import { isMissing } from '../lib/missing-file.ts'
import { ProgramError, run, runToEnd } from '../lib/process.ts'
import { FairwayError } from '../model/errors.ts'

/** It starts a Node, which takes long on a small or busy machine. */
const NPM_CONFIG_MS = 120_000

/**
 * Where packages come from: the host's own configuration of npm and pip, as data. Nothing here is a credential: it goes
 * into sandboxes in which foreign code runs.
 */
export interface PackageSources {
  /** Where the host's programs are found: npm, java, python3. */
  readonly path: string
  /** Environment of package managers inside sandboxes: npm_config_registry, PIP_INDEX_URL, HTTPS_PROXY. */
  readonly env: Readonly<Record<string, string>>
  /** PEM bundle that package managers shall trust, or null for their own. */
  readonly caBundle: string | null
  /** Environment of the host's own npm client, which fetches runtimes and package managers outside of any sandbox. */
  readonly hostEnv: Readonly<Record<string, string>>
}

/**
 * Asks the host's npm and pip for their effective configuration (files and environment together).
 * @throws FairwayError PACKAGE_UNAVAILABLE where there is an npm that fails
 * @param env the environment of this program; only proxies, CA bundles and settings of npm and pip are taken from it
 */
export async function readPackageSources(
  env: Readonly<Record<string, string | undefined>>,
): Promise<PackageSources> {
  const hostEnv = pick(
    env,
    /^(?:PATH|HOME|LANG|TMPDIR|.*_proxy|.*_PROXY|npm_config_.*|NODE_EXTRA_CA_CERTS|PIP_.*|SSL_CERT_.*|PYENV_.*|VIRTUAL_ENV)$/,
  )
  const path = hostEnv['PATH'] ?? '/usr/local/bin:/usr/bin:/bin'
  const npm = await npmConfig(hostEnv)
  const pip = await pipConfig(hostEnv)
  const inside: Record<string, string> = pick(env, /^(?:https?|no|all)_proxy$/i)
  for (const [name, value] of Object.entries(inside)) inside[name] = withoutLogin(value)
  if (npm.registry !== null) inside['npm_config_registry'] = withoutLogin(npm.registry)
  if (pip.indexUrl !== null) inside['PIP_INDEX_URL'] = withoutLogin(pip.indexUrl)
  if (pip.extraIndexUrl !== null)
    inside['PIP_EXTRA_INDEX_URL'] = pip.extraIndexUrl.split(/\s+/).map(withoutLogin).join(' ')
  if (pip.trustedHost !== null) inside['PIP_TRUSTED_HOST'] = pip.trustedHost
  const caBundle = npm.caFile ?? pip.cert ?? env['SSL_CERT_FILE'] ?? null
  return { path, env: inside, caBundle, hostEnv }
}

interface NpmConfig {
  readonly registry: string | null
  readonly caFile: string | null
}

interface PipConfig {
  readonly indexUrl: string | null
  readonly extraIndexUrl: string | null
  readonly trustedHost: string | null
  readonly cert: string | null
}

async function npmConfig(env: Readonly<Record<string, string>>): Promise<NpmConfig> {
  const said = await npmSays(env)
  const value = (name: string): string | null => {
    const text = new RegExp(`^${name}=(.*)$`, 'm').exec(said)?.[1]?.trim() ?? ''
    return text === '' || text === 'null' || text === 'undefined' ? null : text
  }
  return { registry: value('registry'), caFile: value('cafile') }
}

/** A host without npm has no npm configuration; bakes that need npm fail when they do. */
async function npmSays(env: Readonly<Record<string, string>>): Promise<string> {
  try {
    const args = ['config', 'get', 'registry', 'cafile']
    return await run('npm', args, { env, timeoutMs: NPM_CONFIG_MS })
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error
    if (isMissing(error.cause)) return ''
    throw new FairwayError(
      'PACKAGE_UNAVAILABLE',
      `npm does not tell its settings: ${error.message}`,
      {
        hint: 'Try `npm config get registry` as the user that the server runs as; a login belongs into a line of its own in .npmrc, not into the address.',
        cause: error,
      },
    )
  }
}

/** What the environment says goes before pip's files, and holds on a host without pip too: a control plane on a cluster. */
async function pipConfig(env: Readonly<Record<string, string>>): Promise<PipConfig> {
  const said = await pipSays(env)
  const value = (name: string): string | null =>
    env[`PIP_${name.replaceAll('-', '_').toUpperCase()}`] ??
    new RegExp(`^(?:global|install)\\.${name}='(.*)'$`, 'm').exec(said)?.[1] ??
    null
  return {
    indexUrl: value('index-url'),
    extraIndexUrl: value('extra-index-url'),
    trustedHost: value('trusted-host'),
    cert: value('cert'),
  }
}

async function pipSays(env: Readonly<Record<string, string>>): Promise<string> {
  for (const name of ['pip3', 'pip']) {
    const result = await runToEnd(name, ['config', 'list'], { env, timeoutMs: 30_000 }).catch(
      () => null,
    )
    if (result?.code === 0) return result.stdout
  }
  return ''
}

function pick(
  env: Readonly<Record<string, string | undefined>>,
  names: RegExp,
): Record<string, string> {
  const chosen: Record<string, string> = {}
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && names.test(name)) chosen[name] = value
  }
  return chosen
}

function withoutLogin(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, '$1')
}
