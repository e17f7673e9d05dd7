import { ClientError } from '../client/client-error.ts'
import { ERRORS, FairwayError, type ErrorCode } from '../model/errors.ts'

/** A failure as a command reports it. */
export interface Failure {
  readonly code: string
  readonly message: string
  readonly hint: string
  readonly exit: number
  readonly details: Readonly<Record<string, unknown>>
  /** Lines to show before the message: what the app or the build printed, what probes answered. */
  readonly before: readonly string[]
}

/** What to say of anything that was thrown. */
export function failureOf(error: unknown): Failure {
  if (error instanceof FairwayError) {
    const { code, message, hint, exit, details } = error
    return { code, message, hint, exit, details, before: [] }
  }
  if (error instanceof ClientError) return failure(error.code, error.message, error)
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    const system = SYSTEM_ERRORS[error.code]
    if (system !== undefined) return failure(system, error.message, { hint: SYSTEM_HINTS[system] })
  }
  const message = error instanceof Error ? error.message : String(error)
  return {
    ...failure('INTERNAL', message),
    hint: 'This is a bug in Fairway. FAIRWAY_DEBUG=1 prints where it happened.',
  }
}

/** A failure by its code, which may be one that this version does not know. */
export function failure(
  code: string,
  message: string,
  more: {
    readonly hint?: string | null | undefined
    readonly details?: Readonly<Record<string, unknown>>
    readonly before?: readonly string[]
  } = {},
): Failure {
  const known = Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode] : null
  const hint = more.hint ?? known?.hint ?? ''
  const { details = {}, before = [] } = more
  return { code, message, hint, exit: known?.exit ?? 1, details, before }
}

/** The tables' hints speak of the server; these errors are of this machine. */
const SYSTEM_HINTS: Partial<Record<ErrorCode, string>> = {
  FORBIDDEN: 'Check the owner and the rights of that path.',
  INVALID_SOURCE: 'Check the path.',
}

const SYSTEM_ERRORS: Readonly<Record<string, ErrorCode>> = {
  EACCES: 'FORBIDDEN',
  EPERM: 'FORBIDDEN',
  ENOENT: 'INVALID_SOURCE',
  ENOTDIR: 'INVALID_SOURCE',
  EISDIR: 'INVALID_SOURCE',
  ENOSPC: 'DISK_FULL',
  EDQUOT: 'DISK_FULL',
}
