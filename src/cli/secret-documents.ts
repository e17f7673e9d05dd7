import { readFile, realpath } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { isMissing } from '../lib/missing-file.ts'
import { FairwayError } from '../model/errors.ts'
import type { AppRef } from '../model/names.ts'
import { MAX_DOCUMENT_BYTES, type SecretDocument } from '../model/secrets.ts'
import type { AppFile } from './app-name.ts'

/**
 * The encrypted files that the app file names for the environment, as they are in its folder. Only what SOPS encrypted is read for sending: a file in clear stays here.
 * @throws FairwayError INVALID_APP_FILE, SECRETS_INVALID
 */
export async function secretDocuments(
  appFile: AppFile | null,
  folder: string,
  ref: AppRef,
): Promise<readonly SecretDocument[]> {
  // The YAML library is loaded only where there is something to find.
  if (appFile === null || !/(?:^|[\s{,"'])secrets["']?\s*:/m.test(appFile.text)) return []
  const { readSecretPaths } = await import('../spec/resolve-app-file.ts')
  const paths = readSecretPaths(appFile, ref)
  return Promise.all(paths.map(async (path) => ({ path, text: await encryptedText(folder, path) })))
}

async function encryptedText(folder: string, path: string): Promise<string> {
  const bytes = await contentOf(folder, path)
  if (bytes.length > MAX_DOCUMENT_BYTES)
    throw new FairwayError(
      'SECRETS_INVALID',
      `${path} is larger than ${String(MAX_DOCUMENT_BYTES)} bytes`,
    )
  const { assertEncrypted } = await import('../secrets/plaintext-check.ts')
  const text = bytes.toString('utf8')
  await assertEncrypted(path, text)
  return text
}

async function contentOf(folder: string, path: string): Promise<Buffer> {
  try {
    const real = await realpath(join(folder, path))
    if (real.startsWith(`${await realpath(folder)}${sep}`)) return await readFile(real)
  } catch (error) {
    if (!isMissing(error)) throw error
    throw new FairwayError(
      'SECRETS_INVALID',
      `there is no file ${path}, which the app file names`,
      {
        hint: `Make it with \`fairway secrets set --file ${path} NAME=-\`.`,
      },
    )
  }
  throw new FairwayError('SECRETS_INVALID', `${path} leads out of the folder of the app`)
}
