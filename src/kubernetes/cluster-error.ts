import { FairwayError, type ErrorCode } from '../model/errors.ts'
import { listAt, numberAt, textAt, type Json } from './json-value.ts'

/** Who is named when a request fails. */
export interface RequestTarget {
  /** `https://host:port` of the API server. */
  readonly server: string
  readonly user: string
  /** 'patch deployments web-a in namespace shop--production'. */
  readonly what: string
}

/** One field that another manager owns. */
export interface FieldConflict {
  /** `.spec.replicas`. */
  readonly field: string
  readonly manager: string
  /** Other managers that apply server-side keep what they own; `Update` is a change by hand or by a controller. */
  readonly operation: 'Apply' | 'Update'
}

/** An answer of the API server other than success (meta/v1 Status), as people should read it. */
export function errorOfStatus(
  httpStatus: number,
  status: unknown,
  target: RequestTarget,
): FairwayError {
  const message = textAt(status, 'message').trim() || `HTTP ${String(httpStatus)}`
  const reason = textAt(status, 'reason')
  const details = { reason, status: httpStatus, request: target.what }
  const fail = (code: ErrorCode, text: string, more: Json = {}, hint?: string): FairwayError =>
    new FairwayError(code, text, {
      details: { ...details, ...more },
      ...(hint === undefined ? {} : { hint }),
    })
  if (httpStatus === 401)
    return fail(
      'CLUSTER_UNAUTHORIZED',
      `the cluster at ${target.server} refuses the credentials of ${JSON.stringify(target.user)}`,
    )
  const conflicts = fieldConflicts(status)
  if (conflicts.length > 0)
    return fail('CLUSTER_CONFLICT', conflictText(target.what, conflicts), { conflicts })
  if (httpStatus === 403 && MISSING_RIGHT.test(message))
    return fail('CLUSTER_FORBIDDEN', `may not ${target.what}: ${missingRight(message)}`)
  if (httpStatus === 409) return fail('CLUSTER_CONFLICT', `cannot ${target.what}: ${message}`)
  if (httpStatus === 429 || httpStatus >= 500) return unavailable(httpStatus, message, target, fail)
  return fail('CLUSTER_REJECTED', `the cluster refuses to ${target.what}: ${message}`)
}

/** A request that got no answer. */
export function errorOfConnection(cause: unknown, target: RequestTarget): FairwayError {
  const { text, hint } = connectionText(cause)
  return new FairwayError(
    'CLUSTER_UNREACHABLE',
    `the cluster at ${target.server} does not answer: ${text}`,
    {
      cause,
      details: { request: target.what },
      ...(hint === null ? {} : { hint }),
    },
  )
}

/** Fields in conflict, from the causes of a Status; empty where it is about something else. */
export function fieldConflicts(status: unknown): readonly FieldConflict[] {
  return listAt(status, 'details', 'causes').flatMap((cause) => {
    if (textAt(cause, 'reason') !== 'FieldManagerConflict') return []
    // 'conflict with "kubectl-edit" using apps/v1 at 2026-…', 'conflict with "x" with subresource "scale"'
    const message = textAt(cause, 'message')
    const manager = /conflict with "([^"]*)"/.exec(message)?.[1] ?? 'another manager'
    // apimachinery managedfields/internal/conflict.go: only an Update says 'using' which version.
    const operation = / using /.test(message) ? ('Update' as const) : ('Apply' as const)
    return [{ field: textAt(cause, 'field'), manager, operation }]
  })
}

/** True for failures that pass by themselves: the same request may succeed later. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof FairwayError)) return false
  return error.code === 'CLUSTER_UNREACHABLE' || numberAt(error.details, 'status') === 429
}

// Private

/** RBAC: 'deployments.apps is forbidden: User "x" cannot patch resource "deployments" in API group "apps" in the namespace "n"'. */
const MISSING_RIGHT = /cannot \S+ resource|cannot \S+ path/

function missingRight(message: string): string {
  const found = /User "[^"]*" cannot .*$/s.exec(message)?.[0]
  return (found ?? message).split('\n')[0] ?? message
}

function conflictText(what: string, conflicts: readonly FieldConflict[]): string {
  const fields = conflicts.map(({ field, manager }) => `${field} belongs to ${manager}`)
  return `cannot ${what}: ${fields.slice(0, 5).join(', ')}`
}

/** A webhook that does not answer makes the API server answer 500: the cluster is fine, its rule is not. */
function unavailable(
  status: number,
  message: string,
  target: RequestTarget,
  fail: (code: ErrorCode, text: string, more?: Json, hint?: string) => FairwayError,
): FairwayError {
  if (/failed calling webhook/.test(message))
    return fail(
      'CLUSTER_REJECTED',
      `the cluster refuses to ${target.what}: ${message}`,
      { webhook: true },
      'The webhook that has to allow this does not answer; whoever runs it must repair it.',
    )
  const text = `the cluster at ${target.server} cannot ${target.what} now: ${message}`
  return fail('CLUSTER_UNREACHABLE', text, { answer: status })
}

const CONNECTION_TEXTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection broke',
  EPIPE: 'the connection broke',
  UND_ERR_SOCKET: 'the connection broke',
  ENOTFOUND: 'its name is unknown to DNS',
  EAI_AGAIN: 'DNS does not answer',
  EHOSTUNREACH: 'no way to its host',
  ENETUNREACH: 'no way to its network',
  ETIMEDOUT: 'it takes too long',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  UND_ERR_HEADERS_TIMEOUT: 'no answer in time',
  UND_ERR_BODY_TIMEOUT: 'its answer stopped halfway',
}

const TRUST =
  'The kubeconfig’s `certificate-authority-data` does not belong to this server, or its address is another cluster’s.'
const TLS_TEXTS: Readonly<Record<string, string>> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is not signed by the kubeconfig’s authority',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is not signed by the kubeconfig’s authority',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is not signed by the kubeconfig’s authority',
  CERT_SIGNATURE_FAILURE: 'its certificate is not signed by the kubeconfig’s authority',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
}

function connectionText(cause: unknown): { readonly text: string; readonly hint: string | null } {
  const code = codeOf(cause)
  const tls = TLS_TEXTS[code]
  if (tls !== undefined) return { text: tls, hint: TRUST }
  const text = CONNECTION_TEXTS[code] ?? (cause instanceof Error ? cause.message : String(cause))
  return { text: text === '' ? code : text, hint: null }
}

function codeOf(cause: unknown): string {
  if (!(cause instanceof Error)) return ''
  const own = textAt(cause, 'code')
  if (own !== '') return own
  if (cause instanceof AggregateError) return codeOf(cause.errors[0])
  return codeOf(cause.cause)
}
