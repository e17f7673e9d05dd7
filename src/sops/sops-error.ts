/**
 * INVALID_DOCUMENT: the text does not follow its format, or holds what sops cannot store. INVALID_METADATA: the `sops` block is absent or malformed.
 * NO_KEY: no given identity opens the data key. KEY_FAILED: the service or program that holds a key refuses or cannot be reached, or nobody gave a key's passphrase. UNSUPPORTED: a kind of key or syntax that this library does not handle. TAMPERED: a value or the
 * MAC does not verify. INVALID_RULES: `.sops.yaml`. NOT_FOUND: a path that the document does not have. INVALID_KEY: a malformed recipient or identity.
 */
export type SopsErrorCode =
  | 'INVALID_DOCUMENT'
  | 'INVALID_METADATA'
  | 'NO_KEY'
  | 'KEY_FAILED'
  | 'UNSUPPORTED'
  | 'TAMPERED'
  | 'INVALID_RULES'
  | 'INVALID_KEY'
  | 'NOT_FOUND'

/** The only error that this folder throws on purpose. Messages name keys and lines, never values. */
export class SopsError extends Error {
  override readonly name = 'SopsError'
  readonly code: SopsErrorCode

  constructor(code: SopsErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.code = code
  }
}
