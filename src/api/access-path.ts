import { isName } from '../model/names.ts'

/** A request for a cluster, taken apart. */
export interface AccessPath {
  readonly target: string
  /** Path and query below the API server's root, exactly as sent. */
  readonly path: string
}

const MAX_LENGTH = 8192
/** What people's programs need of an API server. Not its metrics, logs and profiles. */
const ROOTS: ReadonlySet<string> = new Set([
  'api',
  'apis',
  'openapi',
  'version',
  'healthz',
  'livez',
  'readyz',
])

/**
 * `/clusters/<target>/<path of the API server>`. What two parsers could read in two ways is refused instead of repaired: the path that is judged here is byte
 * for byte the one that is sent on. Null = refused.
 */
export function parseAccessPath(url: string): AccessPath | null {
  if (url.length > MAX_LENGTH || !/^\/[\x21-\x7e]*$/.test(url)) return null
  // A fragment is never sent by a client, a backslash is a slash to some servers.
  if (/[#\\]/.test(url)) return null
  const end = url.indexOf('?')
  const path = end < 0 ? url : url.slice(0, end)
  const [empty, clusters, target = '', ...rest] = path.split('/')
  if (empty !== '' || clusters !== 'clusters' || !isName(target)) return null
  if (!ROOTS.has(rest[0] ?? '') || !rest.every((part, index) => isPlain(part, index, rest.length)))
    return null
  return { target, path: `/${rest.join('/')}${end < 0 ? '' : url.slice(end)}` }
}

// Private

/** One part between slashes that means itself however often it is decoded. */
function isPlain(part: string, index: number, count: number): boolean {
  if (part === '') return index === count - 1
  let decoded: string
  try {
    decoded = decodeURIComponent(part)
  } catch {
    return false
  }
  if (decoded === '.' || decoded === '..') return false
  // Slashes, percent signs and control characters that were hidden by an encoding; `;` begins parameters to some servers.
  return !/[/\\%;\p{Cc}]/u.test(decoded)
}
