import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { FairwayError } from '../model/errors.ts'

/** Kubernetes meta/v1 Status: what kubectl prints is its message. */
export interface FailureStatus {
  readonly kind: 'Status'
  readonly apiVersion: 'v1'
  readonly metadata: Readonly<Record<string, never>>
  readonly status: 'Failure'
  readonly message: string
  readonly reason: string
  readonly code: number
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  413: 'RequestEntityTooLarge',
  429: 'TooManyRequests',
  503: 'ServiceUnavailable',
  504: 'Timeout',
}

/** Any failure as the programs of a cluster's users understand it. */
export function statusOf(error: unknown): FailureStatus {
  const known = error instanceof FairwayError ? error : null
  const code = known?.status ?? 500
  const message = known === null ? 'internal error' : known.message
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `fairway: ${message}`,
    reason: REASONS[code] ?? 'InternalError',
    code,
  }
}

export function sendJson(
  response: ServerResponse,
  code: number,
  body: object,
  headers: OutgoingHttpHeaders = {},
): void {
  const text = JSON.stringify(body)
  response.writeHead(code, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
  })
  response.end(text)
}

/** The same for a connection that wanted to leave HTTP. */
export function rawStatus(status: FailureStatus): string {
  const text = JSON.stringify(status)
  return [
    `HTTP/1.1 ${String(status.code)} ${status.reason}`,
    'content-type: application/json',
    `content-length: ${String(Buffer.byteLength(text))}`,
    'connection: close',
    '',
    text,
  ].join('\r\n')
}
