import type { OciError } from '../oci/oci-error.ts'

/** distribution-spec "Error Codes"; UNKNOWN is Docker's for the rest. */
export type RegistryErrorCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'SIZE_INVALID'
  | 'UNAUTHORIZED'
  | 'DENIED'
  | 'UNSUPPORTED'
  | 'TOOMANYREQUESTS'
  | 'UNKNOWN'

export interface RegistryErrorFacts {
  readonly status: number
  readonly code: RegistryErrorCode
  readonly headers?: Readonly<Record<string, string>>
}

/** A refusal that the client is told about. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError'
  readonly status: number
  readonly code: RegistryErrorCode
  readonly headers: Readonly<Record<string, string>>

  constructor(facts: RegistryErrorFacts, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.status = facts.status
    this.code = facts.code
    this.headers = facts.headers ?? {}
  }
}

/** What the store refuses, in the words of the protocol; null for what is nobody's fault but ours. */
export function fromOciError(error: OciError): RegistryError | null {
  switch (error.code) {
    case 'DIGEST_MISMATCH':
      return new RegistryError({ status: 400, code: 'DIGEST_INVALID' }, error.message, error)
    case 'INVALID_IMAGE':
    case 'INVALID_REQUEST':
      return new RegistryError({ status: 400, code: 'MANIFEST_INVALID' }, error.message, error)
    case 'TOO_LARGE':
      return new RegistryError({ status: 413, code: 'SIZE_INVALID' }, error.message, error)
    case 'DISK_FULL':
      return new RegistryError({ status: 507, code: 'UNKNOWN' }, error.message, error)
    default:
      return null
  }
}
