import type { AppRef, ProcessName } from '../model/names.ts'

/** A SPIFFE ID taken apart. `path` is empty for the trust domain itself, else it starts with a slash. */
export interface SpiffeId {
  readonly trustDomain: string
  readonly path: string
}

const SCHEME = 'spiffe://'
/** SPIFFE-ID section 2.3: implementations need not take more, and we do not. */
const MAX_BYTES = 2048
const MAX_TRUST_DOMAIN = 255
const TRUST_DOMAIN = /^[a-z0-9._-]+$/
const SEGMENT = /^[A-Za-z0-9._-]+$/

/**
 * Null for whatever SPIFFE-ID section 2 does not allow: another scheme, capitals in the trust domain, ports, user info, queries, percent signs,
 * empty or relative segments, a slash at the end.
 */
export function parseSpiffeId(text: string): SpiffeId | null {
  if (!text.startsWith(SCHEME) || text.length > MAX_BYTES) return null
  const rest = text.slice(SCHEME.length)
  const slash = rest.indexOf('/')
  const trustDomain = slash < 0 ? rest : rest.slice(0, slash)
  const path = slash < 0 ? '' : rest.slice(slash)
  if (!isTrustDomain(trustDomain)) return null
  return path === '' || path.slice(1).split('/').every(isSegment) ? { trustDomain, path } : null
}

export function isTrustDomain(text: string): boolean {
  return text.length <= MAX_TRUST_DOMAIN && TRUST_DOMAIN.test(text)
}

export function spiffeIdText({ trustDomain, path }: SpiffeId): string {
  return `${SCHEME}${trustDomain}${path}`
}

/** `spiffe://<trust domain>/<environment>/<app>/<process>`: names of the platform are a subset of what a segment may be. */
export function workloadId(trustDomain: string, ref: AppRef, process: ProcessName): SpiffeId {
  return { trustDomain, path: `/${ref.environment}/${ref.app}/${process}` }
}

function isSegment(text: string): boolean {
  return SEGMENT.test(text) && text !== '.' && text !== '..'
}
