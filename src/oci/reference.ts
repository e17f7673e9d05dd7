import { isDigest, type Digest } from './digest.ts'
import { OciError } from './oci-error.ts'

/** `[host[:port]/]path[:tag][@digest]`, as distribution/reference normalises it. */
export interface Reference {
  /** `registry.example`, `localhost:5000`, `[::1]:5000`. */
  readonly host: string
  /** `team/app`. */
  readonly repository: string
  /** Null only where there is a digest. */
  readonly tag: string | null
  readonly digest: Digest | null
}

const REPOSITORY =
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/
const HOST =
  /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)(?::[0-9]{1,5})?$/

/** distribution-spec "Pulling manifests": the grammar of a repository name; at most 255 characters, as everywhere in practice. */
export function isRepositoryName(text: string): boolean {
  return text.length <= 255 && REPOSITORY.test(text)
}

export function isTag(text: string): boolean {
  return TAG.test(text)
}

/** Where names without a host come from. There is none by default: which registry that is, is the owner's decision. */
export interface DefaultRegistry {
  readonly host: string
  /** Put before names of one component: `library`. Null = nothing. */
  readonly namespace: string | null
}

/** No tag and no digest means `latest`. @throws OciError INVALID_REQUEST */
export function parseReference(text: string, fallback: DefaultRegistry | null = null): Reference {
  const at = text.indexOf('@')
  const digest = at < 0 ? null : text.slice(at + 1)
  if (digest !== null && !isDigest(digest)) throw invalid(text, 'has a digest that is not sha256')
  const { host, rest } = splitHost(at < 0 ? text : text.slice(0, at), fallback)
  if (host === null) {
    throw invalid(text, 'names no registry, and none is configured: write host/name:tag')
  }
  const { name, tag } = splitTag(rest, digest === null ? 'latest' : null)
  const repository = withNamespace(name, host === fallback?.host ? fallback.namespace : null)
  if (!HOST.test(host)) throw invalid(text, `has the host ${JSON.stringify(host)}, which is none`)
  if (!isRepositoryName(repository)) {
    throw invalid(text, 'has a repository name that is not allowed')
  }
  if (tag !== null && !isTag(tag)) throw invalid(text, 'has a tag that is not allowed')
  return { host, repository, tag, digest }
}

export function formatReference({ host, repository, tag, digest }: Reference): string {
  const tagged = tag === null ? '' : `:${tag}`
  return `${host}/${repository}${tagged}${digest === null ? '' : `@${digest}`}`
}

// Private

/** The first component is a host where it looks like one: with a dot or port, or `localhost`. */
function splitHost(
  name: string,
  fallback: DefaultRegistry | null,
): { readonly host: string | null; readonly rest: string } {
  const slash = name.indexOf('/')
  const first = slash < 0 ? '' : name.slice(0, slash)
  if (/[.:]/.test(first) || first === 'localhost')
    return { host: first, rest: name.slice(slash + 1) }
  return { host: fallback?.host ?? null, rest: name }
}

function withNamespace(name: string, namespace: string | null): string {
  return namespace === null || name.includes('/') ? name : `${namespace}/${name}`
}

function splitTag(
  rest: string,
  untagged: string | null,
): { readonly name: string; readonly tag: string | null } {
  const colon = rest.indexOf(':')
  if (colon < 0) return { name: rest, tag: untagged }
  return { name: rest.slice(0, colon), tag: rest.slice(colon + 1) }
}

function invalid(text: string, why: string): OciError {
  return new OciError('INVALID_REQUEST', `image reference ${JSON.stringify(text)} ${why}`)
}
