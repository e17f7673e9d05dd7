import { FairwayError } from '../model/errors.ts'
import {
  folderVariables,
  hasSecretFiles,
  MAX_PRIVATE_BYTES,
  MAX_PRIVATE_FILES,
  type SecretPlan,
} from '../model/secrets.ts'
import type { BaseSettings } from './plan-settings.ts'
import { helperParts, NO_HELPER, type Helper, type HelperParts } from './pod-door.ts'

/** In the image that is made for it. */
export const FETCHER_PROGRAM = '/app/src/bin/secrets-fetcher.ts'
export const SECRETS_FOLDER = '/run/secrets'
/** A file takes whole pages of memory. */
const PAGE = 4096

/** The init container that fetches. It has ended when the app begins: a pod asks for the larger of the two, not for both. */
const FETCHER: Helper = {
  need: 'secrets',
  program: FETCHER_PROGRAM,
  folder: SECRETS_FOLDER,
  bytes: MAX_PRIVATE_BYTES + MAX_PRIVATE_FILES * 2 * PAGE,
  prefix: 'FAIRWAY_SECRETS',
  memory: { limit: '128Mi', request: '48Mi' },
  fields: {},
}

/** What a pod has that gets values as files: no value is in any object. @throws FairwayError RUNNER_UNAVAILABLE where no door is known */
export function secretsParts(
  plan: SecretPlan | undefined,
  { podDoor = null }: Pick<BaseSettings, 'podDoor'>,
): HelperParts {
  if (!hasSecretFiles(plan)) return NO_HELPER
  if (podDoor === null)
    throw new FairwayError('RUNNER_UNAVAILABLE', 'nobody gives values to the pods of this cluster')
  return helperParts(FETCHER, podDoor, folderVariables('secrets', SECRETS_FOLDER))
}
