import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing, readIfExists } from '../lib/atomic-file.ts'
import { FairwayError } from '../model/errors.ts'
import { formatReference, parseReference, type Reference } from '../oci/reference.ts'
import type { Credentials } from '../oci/registry-session.ts'
import {
  mergeRegistriesConf,
  parseRegistriesConf,
  type RegistriesConf,
  type RegistryRule,
} from './registries-conf.ts'
import { registryLogin } from './registry-logins.ts'

/** Where images come from on this host: its own configuration of registries and logins, the one that podman and skopeo use. */
export interface ImageSources {
  /** The reference with host and repository as the host's configuration has it, and in which places to look, in order. @throws FairwayError REGISTRY_FAILED, OciError INVALID_REQUEST */
  places(text: string): readonly Reference[]
  /** Null where nobody logged in there. @throws FairwayError REGISTRY_FAILED */
  login(reference: Reference): Promise<Credentials | null>
}

export interface ImageSourcesOptions {
  /** Environment of this program: HOME, XDG_CONFIG_HOME, XDG_RUNTIME_DIR, REGISTRY_AUTH_FILE, DOCKER_CONFIG, CONTAINERS_REGISTRIES_CONF. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly uid: number
  /** Default /etc/containers. */
  readonly systemFolder?: string
}

/** @throws FairwayError REGISTRY_FAILED for configuration that cannot be understood, with file and line */
export async function readImageSources(options: ImageSourcesOptions): Promise<ImageSources> {
  const conf = await readRegistries(options)
  const { env } = options
  const files = loginFiles(options)
  const helperEnv = {
    PATH: env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
    HOME: env['HOME'] ?? '/',
  }
  return {
    places: (text) => placesOf(text, conf),
    login: ({ host, repository }) =>
      registryLogin(`${host}/${repository}`, { files, env: helperEnv }),
  }
}

// Private: logins

/** containers-auth.json(5), section "FILES", then Docker's own. */
function loginFiles({ env, uid }: ImageSourcesOptions): readonly string[] {
  const home = env['HOME'] ?? '/'
  const named = env['REGISTRY_AUTH_FILE']
  if (named !== undefined && named !== '') return [named]
  const runtime = env['XDG_RUNTIME_DIR']
  return [
    runtime === undefined || runtime === ''
      ? `/run/containers/${String(uid)}/auth.json`
      : join(runtime, 'containers/auth.json'),
    join(configFolder(env), 'containers/auth.json'),
    join(env['DOCKER_CONFIG'] ?? join(home, '.docker'), 'config.json'),
  ]
}

function configFolder(env: ImageSourcesOptions['env']): string {
  return env['XDG_CONFIG_HOME'] ?? join(env['HOME'] ?? '/', '.config')
}

// Private: registries

/** The user's file replaces the system's; files of the folders beside them are read after it. */
async function readRegistries(options: ImageSourcesOptions): Promise<RegistriesConf> {
  const { env, systemFolder = '/etc/containers' } = options
  const userFolder = join(configFolder(env), 'containers')
  const named = env['CONTAINERS_REGISTRIES_CONF']
  const mains =
    named === undefined || named === ''
      ? [join(userFolder, 'registries.conf'), join(systemFolder, 'registries.conf')]
      : [named]
  const files: RegistriesConf[] = []
  for (const path of mains) {
    const main = await readConf(path)
    if (main === null) continue
    files.push(main)
    break
  }
  for (const folder of named === undefined ? [systemFolder, userFolder] : []) {
    for (const path of await dropIns(join(folder, 'registries.conf.d'))) {
      const more = await readConf(path)
      if (more !== null) files.push(more)
    }
  }
  return mergeRegistriesConf(files)
}

async function readConf(path: string): Promise<RegistriesConf | null> {
  const text = await readIfExists(path)
  return text === null ? null : parseRegistriesConf(text, path)
}

async function dropIns(folder: string): Promise<readonly string[]> {
  try {
    const names = await readdir(folder)
    const files = names.filter((name) => name.endsWith('.conf')).sort()
    return files.map((name) => join(folder, name))
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

function placesOf(text: string, conf: RegistriesConf): readonly Reference[] {
  const [host] = conf.search
  const fallback = host === undefined ? null : { host, namespace: null }
  const reference = parseReference(withAlias(text, conf.aliases), fallback)
  const rule = ruleFor(reference, conf.registries)
  if (rule === null) return [reference]
  const name = `${reference.host}/${reference.repository}`
  if (rule.blocked) {
    throw new FairwayError(
      'REGISTRY_FAILED',
      `registries.conf of this host blocks ${rule.prefix}, so ${name} is not fetched`,
    )
  }
  const locations = [...rule.mirrors, rule.location]
  return locations.map((location) => moved(reference, rule.prefix, location))
}

/** Aliases are for names without host and tag of their own. */
function withAlias(text: string, aliases: RegistriesConf['aliases']): string {
  const end = text.search(/[:@]/)
  const name = end < 0 ? text : text.slice(0, end)
  const full = Object.hasOwn(aliases, name) ? aliases[name] : undefined
  return full === undefined ? text : `${full}${end < 0 ? '' : text.slice(end)}`
}

/** The longest prefix that fits. */
function ruleFor(reference: Reference, rules: readonly RegistryRule[]): RegistryRule | null {
  const name = `${reference.host}/${reference.repository}`
  const fitting = rules.filter(({ prefix }) =>
    prefix.startsWith('*.')
      ? reference.host.endsWith(prefix.slice(1))
      : prefix !== '' && (name === prefix || name.startsWith(`${prefix}/`)),
  )
  return fitting.sort((a, b) => b.prefix.length - a.prefix.length)[0] ?? null
}

function moved(reference: Reference, prefix: string, location: string): Reference {
  if (location === '') return reference
  const text = formatReference(reference)
  // A prefix with a wildcard stands for the host alone.
  const length = prefix.startsWith('*.') ? reference.host.length : prefix.length
  return parseReference(`${location}${text.slice(length)}`)
}
