import type { Problem } from '../contract/problem.ts'

/**
 * A call that did not succeed. `code` is the server's stable code, which may be one that this version does not know, or
 * `SERVER_UNREACHABLE` (nobody answered, or the connection was lost) or `TIMEOUT`, made here.
 */
export class ClientError extends Error {
  override readonly name = 'ClientError'
  readonly code: string
  /** Null where the client knows no better than the code's table. */
  readonly hint: string | null
  readonly details: Readonly<Record<string, unknown>>
  /** HTTP status, or null where there was no answer. */
  readonly status: number | null

  constructor(
    code: string,
    message: string,
    options: {
      readonly hint?: string
      readonly details?: Readonly<Record<string, unknown>>
      readonly status?: number
      readonly cause?: unknown
    } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.code = code
    this.hint = options.hint ?? null
    this.details = options.details ?? {}
    this.status = options.status ?? null
  }
}

/** The error that a problem document says; status is null inside a stream. */
export function problemError(problem: Problem['error'], status: number | null): ClientError {
  return new ClientError(problem.code, problem.message, {
    hint: problem.hint,
    details: problem.details,
    ...(status === null ? {} : { status }),
  })
}
