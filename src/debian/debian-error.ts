/**
 * - `SOURCES_MISSING`: no usable apt source is configured
 * - `ARCHIVE_UNREACHABLE`: a file of the archive could not be downloaded
 * - `SIGNATURE_INVALID`: a signature, a date or a hash of the chain InRelease -> Packages -> .deb does not hold
 * - `INDEX_INVALID`: a signed file does not have the documented form
 * - `PACKAGE_UNAVAILABLE`: a package or one of its dependencies has no candidate
 * - `PACKAGE_CONFLICT`: two packages of one closure exclude each other
 * - `DEB_INVALID`: a .deb does not have the documented form
 * - `ELF_INVALID`: a file starts like an ELF object and is none
 * - `LIBRARY_MISSING`: a needed shared library is in none of the given packages
 */
export type DebianErrorCode =
  | 'SOURCES_MISSING'
  | 'ARCHIVE_UNREACHABLE'
  | 'SIGNATURE_INVALID'
  | 'INDEX_INVALID'
  | 'PACKAGE_UNAVAILABLE'
  | 'PACKAGE_CONFLICT'
  | 'DEB_INVALID'
  | 'ELF_INVALID'
  | 'LIBRARY_MISSING'

export class DebianError extends Error {
  override readonly name = 'DebianError'
  readonly code: DebianErrorCode
  constructor(code: DebianErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.code = code
  }
}
