import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import type { ClusterUser } from '../model/kube-access.ts'

/** What a person's program may say to the API server; everything else, above all who it is, stays here. */
const PASSED_ON = [
  'accept',
  'accept-encoding',
  'content-encoding',
  'content-length',
  'content-type',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'kubectl-command',
  'kubectl-session',
  'range',
  'traceparent',
  'user-agent',
] as const
/** Of connections that leave HTTP: RFC 6455, and the streams of kubectl before 1.31. */
const PASSED_ON_UPGRADE = [
  'sec-websocket-extensions',
  'sec-websocket-key',
  'sec-websocket-protocol',
  'sec-websocket-version',
  'x-stream-protocol-version',
] as const
/** RFC 9110, 7.6.1: about one connection. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/**
 * Headers of the request to the API server. Made anew from a list of what may pass, so that nothing can be smuggled in, and `connection` can name nothing of
 * ours for a proxy in between to take out.
 */
export function requestHeaders(
  inbound: IncomingHttpHeaders,
  user: ClusterUser,
  options: { readonly token: string; readonly upgrade: string | null },
): OutgoingHttpHeaders {
  const names: readonly string[] =
    options.upgrade === null ? PASSED_ON : [...PASSED_ON, ...PASSED_ON_UPGRADE]
  const passed = names.flatMap((name): [string, string | string[]][] => {
    const value = inbound[name]
    return value === undefined ? [] : [[name, value]]
  })
  return {
    ...Object.fromEntries(passed),
    ...(options.upgrade === null ? {} : { connection: 'Upgrade', upgrade: options.upgrade }),
    authorization: `Bearer ${options.token}`,
    'impersonate-user': user.name,
    // One header line for each, as the API server reads them.
    'impersonate-group': [...user.groups],
  }
}

/** Headers of the answer as they go back. */
export function answerHeaders(answer: IncomingHttpHeaders): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(answer).filter(([name]) => !HOP_BY_HOP.has(name)))
}
