import { readPackageSources } from '../bake/package-sources.ts'
import { aptAcceptsExpired } from '../debian/apt-host.ts'
import type { AptSource, SigningKeys } from '../debian/apt-source.ts'
import { hostSources, parseSources, sourcesText } from '../debian/apt-sources.ts'
import { defaultKeyrings, keyringText } from '../debian/keyring.ts'
import { APT_FOLDER, type PlatformPackages } from '../kubernetes/plan-platform-packages.ts'
import type { Log } from '../lib/log.ts'
import { FairwayError } from '../model/errors.ts'
import type { InstallRequest } from '../model/installer.ts'

export type GivenPackages = Pick<InstallRequest, 'npmRegistry' | 'pipIndex' | 'aptSources'>

export interface PackageHost {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where apt's configuration and keyrings are found; default `/`. */
  readonly root?: string
  readonly log: Log
}

/** Folders of public keys alone: no other file of this host goes anywhere because a request names it. */
const KEYRING = /^\/(?:usr\/share|etc\/apt)\/keyrings\/[\w.+-]+$/

/**
 * What a control plane on a cluster is told of package sources: what was given, else what this host uses itself, without what only this host reaches or is let in to.
 * @throws FairwayError INVALID_REQUEST for given apt sources of which the cluster could not use one, PACKAGE_UNAVAILABLE as readPackageSources()
 */
export async function packageSettings(
  given: GivenPackages,
  host: PackageHost,
): Promise<PlatformPackages> {
  const { env } = await readPackageSources(host.env)
  const { npm_config_registry: npm, PIP_INDEX_URL: pip, PIP_TRUSTED_HOST: trusted } = env
  const settings = {
    npm_config_registry: given.npmRegistry ?? elsewhere(npm),
    PIP_INDEX_URL: given.pipIndex ?? elsewhere(pip),
    PIP_TRUSTED_HOST: given.pipIndex === null ? trusted : hostToTrust(given.pipIndex),
  }
  const told = Object.entries(settings).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  )
  const apt = await aptFiles(await aptSources(given.aptSources, host), host)
  return { env: Object.fromEntries(told), apt }
}

// Private

/** Without TLS pip takes packages from hosts that it is told to trust alone. */
function hostToTrust(index: string): string | undefined {
  const { protocol, host } = new URL(index)
  return protocol === 'http:' ? host : undefined
}

function elsewhere(url: string | undefined): string | undefined {
  return url !== undefined && isElsewhere(url) ? url : undefined
}

async function aptSources(given: string | null, host: PackageHost): Promise<readonly AptSource[]> {
  if (given !== null) return givenSources(given)
  const { root = '/', log } = host
  const expired = await aptAcceptsExpired()
  const sources = await hostSources(`${root}etc/apt`, log)
  return sources
    .filter(({ uri }) => isElsewhere(uri))
    .map((source) => (expired ? { ...source, checkValidUntil: false } : source))
}

function givenSources(text: string): readonly AptSource[] {
  const sources = parsed(text)
  for (const { uri, signedBy = [] } of sources) {
    if (!isElsewhere(uri))
      throw refused(
        `the apt source ${uri.replace(/\/\/[^/@]*@/, '//')} is not one that the cluster reaches by http or https without a login`,
      )
    for (const key of signedBy)
      if ('file' in key && !KEYRING.test(key.file))
        throw refused(
          `Signed-By ${key.file} is no keyring of /usr/share/keyrings or /etc/apt/keyrings`,
        )
  }
  if (sources.length === 0) throw refused('there is no apt source in it')
  return sources
}

function parsed(text: string): readonly AptSource[] {
  try {
    return parseSources(text, 'the apt sources')
  } catch (error) {
    if (error instanceof SyntaxError) throw refused(error.message)
    throw error
  }
}

/** The sources and their keyrings, each once, as files of one folder. A source whose keys are not here could not be verified there either. */
async function aptFiles(
  sources: readonly AptSource[],
  { root = '/', log }: PackageHost,
): Promise<PlatformPackages['apt']> {
  const standard = await defaultKeyrings(root)
  const names = new Map<string, string>()
  const told: AptSource[] = []
  for (const source of sources) {
    const texts = await keyringTexts(source.signedBy ?? standard)
    if (texts.length === 0) {
      log.warn(
        { source: source.uri },
        'apt source without keys here: the cluster is not told of it',
      )
      continue
    }
    for (const text of texts)
      if (!names.has(text)) names.set(text, `keyring-${String(names.size + 1)}.asc`)
    const signedBy = texts.map((text) => ({ file: `${APT_FOLDER}/${names.get(text) ?? ''}` }))
    told.push({ ...source, signedBy })
  }
  if (told.length === 0) return {}
  const keyrings = [...names].map(([text, name]) => [name, text] as const)
  return { ...Object.fromEntries(keyrings), 'fairway.sources': sourcesText(told) }
}

async function keyringTexts(keys: readonly SigningKeys[]): Promise<readonly string[]> {
  const texts = await Promise.all(keys.map(keyringText))
  return texts.filter((text) => text !== null)
}

/** A mirror on this machine's loopback is nobody's there, and logins stay here. */
function isElsewhere(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname, username, password } = new URL(text)
  return (
    /^https?:$/.test(protocol) &&
    username === '' &&
    password === '' &&
    !/^(?:localhost|127\..*|\[::1\])$/.test(hostname)
  )
}

function refused(message: string): FairwayError {
  return new FairwayError('INVALID_REQUEST', message, {
    hint: '--apt-sources takes a file of sources.list(5), in either form; keys stand in place or in /usr/share/keyrings of the server’s machine.',
  })
}
