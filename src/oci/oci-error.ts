/** Codes have the names of the platform's own error table, so that callers translate them one to one. */
export type OciErrorCode =
  | 'INVALID_REQUEST'
  | 'INVALID_IMAGE'
  | 'DIGEST_MISMATCH'
  | 'TOO_LARGE'
  | 'NOT_FOUND'
  | 'DISK_FULL'
  | 'REGISTRY_FAILED'
  | 'INTERNAL'

/** The one error that this folder and `registry/` throw on purpose. */
export class OciError extends Error {
  override readonly name = 'OciError'
  readonly code: OciErrorCode

  constructor(code: OciErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.code = code
  }
}

/** A full disk or quota becomes DISK_FULL; everything else passes unchanged. */
export function translateDiskError(error: unknown): unknown {
  const code = errno(error)
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error
  return new OciError('DISK_FULL', 'the disk of the image store is full', error)
}

/** The `code` of a Node system error, or null. */
export function errno(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : null
}
