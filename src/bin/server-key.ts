import { randomBytes } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import { FairwayError } from '../model/errors.ts'
import { Secret } from '../model/secrets.ts'
import type { Config } from './config.ts'
import type { DataFolder } from './data-folder.ts'

const BYTES = 32

/**
 * The key of this installation, which is in no database: what the store keeps secret is encrypted under it. In the data folder it is made where there is none, mode 0600; a file
 * that the configuration names must be there.
 * @throws FairwayError INVALID_REQUEST for a file that is missing, open to others, or no key; never with its content
 */
export async function serverKey(
  { serverKeyFile }: Pick<Config, 'serverKeyFile'>,
  folder: Pick<DataFolder, 'serverKey'>,
): Promise<Secret> {
  const path = serverKeyFile ?? folder.serverKey
  const text = await readIfExists(path)
  if (text !== null) return parsed(text, path)
  if (serverKeyFile !== null)
    throw new FairwayError('INVALID_REQUEST', `there is no file ${path}`, { hint: HINT })
  const bytes = randomBytes(BYTES)
  await writeAtomically(path, `${bytes.toString('base64')}\n`, { mode: 0o600 })
  return Secret.of(bytes)
}

const HINT =
  'FAIRWAY_SECRETS_KEY_FILE names a file that `openssl rand -base64 32` wrote, mode 0600.'

async function parsed(text: string, path: string): Promise<Secret> {
  if (((await stat(path)).mode & 0o007) !== 0)
    throw new FairwayError('INVALID_REQUEST', `${path} can be read by every user of this machine`, {
      hint: `Make it private with \`chmod 600 ${path}\`, and change the secrets that it protects.`,
    })
  const bytes = Buffer.from(text.trim(), 'base64')
  if (bytes.length >= BYTES) return Secret.of(bytes)
  throw new FairwayError('INVALID_REQUEST', `${path} holds no key of ${String(BYTES)} bytes`, {
    hint: HINT,
  })
}
