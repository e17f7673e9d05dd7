import { FairwayError, type ErrorCode } from '../model/errors.ts'
import { SopsError, type SopsErrorCode } from '../sops/sops-error.ts'

const CODES: Readonly<Record<SopsErrorCode, ErrorCode>> = {
  INVALID_DOCUMENT: 'SECRETS_INVALID',
  INVALID_METADATA: 'SECRETS_INVALID',
  INVALID_RULES: 'SECRETS_INVALID',
  INVALID_KEY: 'SECRETS_INVALID',
  UNSUPPORTED: 'SECRETS_INVALID',
  NO_KEY: 'SECRETS_CLOSED',
  KEY_FAILED: 'SECRETS_CLOSED',
  TAMPERED: 'SECRETS_TAMPERED',
  NOT_FOUND: 'NOT_FOUND',
}

/** Runs a step of `sops/` on a file; its errors become the platform's, naming the file. @throws FairwayError */
export async function named<T>(path: string, step: () => T | Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    if (!(error instanceof SopsError)) throw error
    throw new FairwayError(CODES[error.code], `${path}: ${error.message}`, { cause: error })
  }
}
