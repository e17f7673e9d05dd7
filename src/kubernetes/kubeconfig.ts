import { parseDocument } from 'yaml'
import { FairwayError } from '../model/errors.ts'
import { at, isRecord, listAt, recordAt, textAt, type Json } from './json-value.ts'

/** How to reach one cluster and as whom. Holds credentials: never log it, never put it into an error. */
export interface ClusterConnection {
  /** https URL of the API server, without a slash at the end. */
  readonly server: string
  /** Name in certificates where it is another than the host's. */
  readonly serverName: string | null
  /** PEM; null = the certificate authorities that Node trusts. */
  readonly ca: string | null
  readonly insecure: boolean
  /** PEM. */
  readonly certificate: string | null
  readonly key: string | null
  /** Asked before every request: a token in a cluster is a file that changes. Null = no token. */
  readonly token: (() => Promise<string>) | null
  /** The kubeconfig's name of the user, for people. */
  readonly user: string
  readonly context: string
}

const EMBED =
  'Embed everything: `kubectl config view --minify --flatten --raw > FILE`, then use FILE.'

/**
 * Reads a kubeconfig that somebody handed in. It comes from another machine and is used on this one, so whatever would make this server
 * start a program (`exec`, `auth-provider`), read its own files (`client-key`, `tokenFile`, …) or go through somebody's proxy is refused.
 * @throws FairwayError INVALID_REQUEST naming the field
 */
export function readKubeconfig(text: string, context: string | null = null): ClusterConnection {
  const config = parse(text)
  const name = context ?? textAt(config, 'current-context')
  const chosen = entry(config, 'contexts', 'context', name)
  const cluster = entry(config, 'clusters', 'cluster', textAt(chosen, 'cluster'))
  const user = entry(config, 'users', 'user', textAt(chosen, 'user'))
  refuse(cluster, 'cluster', ['certificate-authority', 'proxy-url'])
  refuse(user, 'user', [
    'exec',
    'auth-provider',
    'client-certificate',
    'client-key',
    'tokenFile',
    'as',
    'as-groups',
    'as-uid',
    'as-user-extra',
    'username',
    'password',
  ])
  const token = textAt(user, 'token')
  const certificate = pem(user, 'client-certificate-data')
  const key = pem(user, 'client-key-data')
  if (token === '' && (certificate === null || key === null))
    throw invalid(
      `user ${JSON.stringify(textAt(chosen, 'user'))} has neither a token nor a client certificate with its key`,
      EMBED,
    )
  return {
    server: serverOf(cluster),
    serverName: nullable(textAt(cluster, 'tls-server-name')),
    ca: pem(cluster, 'certificate-authority-data'),
    insecure: at(cluster, 'insecure-skip-tls-verify') === true,
    certificate,
    key,
    token: token === '' ? null : () => Promise.resolve(token),
    user: textAt(chosen, 'user'),
    context: name,
  }
}

export interface InClusterFiles {
  /** KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT. */
  readonly host: string
  readonly port: string
  /** Reads a file of /var/run/secrets/kubernetes.io/serviceaccount as text: `token`, `ca.crt`. */
  readonly read: (name: 'token' | 'ca.crt') => Promise<string>
}

/** The cluster that this server itself runs in, as its ServiceAccount. The token is read again for every request: it is renewed on disk. */
export async function inClusterConnection(files: InClusterFiles): Promise<ClusterConnection> {
  const host = files.host.includes(':') ? `[${files.host}]` : files.host
  return {
    server: `https://${host}:${files.port}`,
    serverName: null,
    ca: await files.read('ca.crt'),
    insecure: false,
    certificate: null,
    key: null,
    token: async () => (await files.read('token')).trim(),
    user: 'service account of this server',
    context: 'in-cluster',
  }
}

// Private

function parse(text: string): Json {
  const document = parseDocument(text)
  const [error] = document.errors
  if (error !== undefined) throw invalid(`not valid YAML: ${error.message.split('\n')[0] ?? ''}`)
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 0 })
  } catch {
    throw invalid('it uses YAML aliases, which a kubeconfig has no need of')
  }
  if (isRecord(value) && Array.isArray(value['clusters'])) return value
  throw invalid('it has no `clusters`')
}

function entry(config: Json, list: string, key: string, name: string): Json {
  const all = listAt(config, list)
  const found = all.find((candidate) => textAt(candidate, 'name') === name)
  if (found !== undefined && name !== '') return recordAt(found, key)
  const names = all.map((candidate) => textAt(candidate, 'name')).join(', ')
  const wanted = name === '' ? `names no ${key}` : `has no ${key} ${JSON.stringify(name)}`
  throw invalid(`it ${wanted}; it has: ${names === '' ? 'none' : names}`)
}

function refuse(record: Json, what: string, keys: readonly string[]): void {
  const found = keys.find((key) => at(record, key) !== undefined)
  if (found === undefined) return
  throw invalid(REASONS[found] ?? `${what}.${found} is not supported`, EMBED_HINTS[found] ?? EMBED)
}

const FILE = 'names a file, which would be read on this server'
const REASONS: Readonly<Record<string, string>> = {
  exec: 'user.exec would start a program on this server',
  'auth-provider': 'user.auth-provider would start a login on this server',
  'certificate-authority': `cluster.certificate-authority ${FILE}`,
  'client-certificate': `user.client-certificate ${FILE}`,
  'client-key': `user.client-key ${FILE}`,
  tokenFile: `user.tokenFile ${FILE}`,
  'proxy-url': 'cluster.proxy-url is not supported',
}
const OWN_TOKEN =
  'Use the token of a ServiceAccount: `kubectl create token NAME --duration 8760h`, or a Secret of type kubernetes.io/service-account-token.'
const EMBED_HINTS: Readonly<Record<string, string>> = {
  exec: OWN_TOKEN,
  'auth-provider': OWN_TOKEN,
  username: OWN_TOKEN,
  password: OWN_TOKEN,
  tokenFile: 'Put the token itself into `token`.',
}

function serverOf(cluster: Json): string {
  const text = textAt(cluster, 'server')
  const url = URL.canParse(text) ? new URL(text) : null
  if (url?.protocol !== 'https:')
    throw invalid(`cluster.server must be an https URL, is ${JSON.stringify(text.slice(0, 80))}`)
  if (url.username !== '' || url.password !== '')
    throw invalid('cluster.server must not hold credentials')
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '')
}

function nullable(text: string): string | null {
  return text === '' ? null : text
}

function pem(record: Json, key: string): string | null {
  const data = textAt(record, key)
  if (data === '') return null
  const text = Buffer.from(data, 'base64').toString('utf8')
  if (text.includes('-----BEGIN ')) return text
  throw invalid(`${key} is not base64 of a PEM`)
}

function invalid(why: string, hint = EMBED): FairwayError {
  return new FairwayError('INVALID_REQUEST', `cannot use this kubeconfig: ${why}`, { hint })
}
