import type { FastifyRequest } from 'fastify'
import type { Problem } from '../contract/problem.ts'
import type { Log } from '../lib/log.ts'
import { ERRORS, FairwayError } from '../model/errors.ts'

/** The error as the API shows it. What is not a FairwayError says nothing of itself: its text may hold anything. */
export function toProblem(error: FairwayError): Problem {
  const { code, message, hint, details } = error
  return { error: { code, message, hint, details } }
}

/**
 * Translates what Fastify, node:http and zod throw on bad requests; everything unknown becomes INTERNAL with the id under which the log has it.
 */
export function toFairwayError(error: unknown, requestId: string): FairwayError {
  if (error instanceof FairwayError) return error
  const status = statusOf(error)
  if (status === 413)
    return new FairwayError('TOO_LARGE', 'the body is too large', { cause: error })
  if (status !== null && status >= 400 && status < 500) {
    return new FairwayError('INVALID_REQUEST', plainMessage(error), { cause: error })
  }
  return new FairwayError('INTERNAL', 'something went wrong inside the server', {
    cause: error,
    details: { request: requestId },
  })
}

/** The only place where a failed request is logged. What the client did wrong is its own business. */
export function logFailure(log: Log, problem: FairwayError, request: FastifyRequest): void {
  const fields = {
    request: request.id,
    method: request.method,
    route: request.routeOptions.url,
    code: problem.code,
  }
  if (problem.status >= 500) {
    log.error(
      { ...fields, err: problem.code === 'INTERNAL' ? problem.cause : problem },
      'request failed',
    )
  } else log.debug(fields, 'request refused')
}

/** For failures of the HTTP parser, where no request exists. */
export function rawProblem(error: FairwayError): string {
  const body = JSON.stringify(toProblem(error))
  return [
    `HTTP/1.1 ${ERRORS[error.code].status} Bad Request`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n')
}

const PLAIN: Readonly<Record<string, string>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unknown content type',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'the body is empty, expected JSON',
  FST_ERR_CTP_INVALID_JSON_BODY: 'the body is not valid JSON',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'the body does not have the length of Content-Length',
  FST_ERR_BAD_URL: 'the URL is not valid',
}

/** Messages of JSON parsers quote the text around the mistake, which may be a secret: never passed on. */
function plainMessage(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (Object.hasOwn(PLAIN, code)) return PLAIN[code] ?? ''
  return error instanceof SyntaxError ? 'the body is not valid JSON' : 'the request is not valid'
}

function statusOf(error: unknown): number | null {
  if (!(error instanceof Error) || !('statusCode' in error)) return null
  return typeof error.statusCode === 'number' ? error.statusCode : null
}
