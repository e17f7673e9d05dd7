import type { Address } from '../model/instance.ts'
import { parseHost } from './host.ts'
import type { Problem } from './problem.ts'

export interface ProxyTarget {
  /** Origin form; null where the request was in another than the absolute form. */
  readonly target: string | null
  /** Null for a name of the table: there the Host field says which. */
  readonly outside: Address | null
}

export const NO_PROXY: ProxyTarget = { target: null, outside: null }

/**
 * What the absolute form of a request asks of a proxy (RFC 9112 3.2.2).
 * Internal names are services on port 80 and nothing else, and their Host field must agree; outside, the target says where and Host is passed on.
 */
export function proxyTarget(target: string, hostField: string): ProxyTarget | Problem {
  const match = /^http:\/\/([^/?]+)([/?].*)?$/i.exec(target)
  if (match === null) return NO_PROXY
  const [, authority = '', rest = '/'] = match
  const address = parseAuthority(authority, 80)
  if (address === null) return 'bad-request'
  const path = rest.startsWith('/') ? rest : `/${rest}`
  if (!isInternal(address.host)) return { target: path, outside: address }
  if (withoutPort(authority) !== withoutPort(hostField)) return 'bad-request'
  return address.port === 80 ? { target: path, outside: null } : 'no-route'
}

/** True for a name that only the router can resolve. */
export function isInternal(host: string): boolean {
  return host === 'internal' || host.endsWith('.internal')
}

/** Where CONNECT leads (RFC 9112 3.2.3); internal names have port 80 alone. */
export function connectTarget(target: string): Address | Problem {
  const address = parseAuthority(target, null)
  if (address === null) return 'bad-request'
  if (isInternal(address.host) && address.port !== 80) return 'no-route'
  return address
}

function parseAuthority(authority: string, defaultPort: number | null): Address | null {
  const host = parseHost(authority)
  if (host === null) return null
  const text = /:(\d+)$/.exec(authority)?.[1]
  const port = text === undefined ? defaultPort : Number(text)
  return port === null || port < 1 || port > 65_535 ? null : { host, port }
}

function withoutPort(authority: string): string {
  return authority.toLowerCase().replace(/:80$/, '')
}
