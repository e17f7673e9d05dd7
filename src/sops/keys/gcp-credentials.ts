import { createPrivateKey, sign, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfExists } from '../../lib/atomic-file.ts'
import { SopsError } from '../sops-error.ts'
import { answered, answerJson, jsonFields, type JsonFields } from './key-answer.ts'
import type { KeySurroundings } from './key-kind.ts'

const WHO = 'the token service of Google'
const TOKEN_URL = 'https://oauth2.googleapis.com/token'
const SCOPE = 'https://www.googleapis.com/auth/cloudkms'
const LIFETIME_S = 600

/**
 * An access token of this user: GOOGLE_CREDENTIALS (a path or the JSON itself), GOOGLE_OAUTH_ACCESS_TOKEN, GOOGLE_APPLICATION_CREDENTIALS, what
 * `gcloud auth application-default login` left, else the machine's own.
 * @throws SopsError KEY_FAILED, INVALID_KEY for malformed credentials
 */
export async function gcpToken(surroundings: KeySurroundings): Promise<string> {
  const { env, home } = surroundings
  const given = env['GOOGLE_CREDENTIALS'] ?? ''
  if (given !== '') {
    const text = given.trimStart().startsWith('{') ? given : await readFile(given, 'utf8')
    return tokenFor(surroundings, text)
  }
  const token = env['GOOGLE_OAUTH_ACCESS_TOKEN'] ?? ''
  if (token !== '') return token
  const path = env['GOOGLE_APPLICATION_CREDENTIALS'] ?? ''
  const text =
    path === ''
      ? await readIfExists(join(home, '.config', 'gcloud', 'application_default_credentials.json'))
      : await readFile(path, 'utf8')
  return text === null ? machineToken(surroundings) : tokenFor(surroundings, text)
}

async function tokenFor(surroundings: KeySurroundings, text: string): Promise<string> {
  const fields = jsonFields(text)
  const type = fields?.['type']
  if (fields === null || (type !== 'service_account' && type !== 'authorized_user')) {
    throw new SopsError(
      'INVALID_KEY',
      'the Google credentials are neither of a service account nor of a user',
    )
  }
  const part = (name: string): string => answered(fields, name, 'the Google credentials file')
  const form =
    type === 'service_account'
      ? {
          grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
          assertion: assertion(fields, surroundings.now()),
        }
      : {
          grant_type: 'refresh_token',
          client_id: part('client_id'),
          client_secret: part('client_secret'),
          refresh_token: part('refresh_token'),
        }
  const answer = await answerJson(surroundings.fetch, {
    url: tokenUrl(fields),
    who: WHO,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(form).toString(),
  })
  return answered(answer, 'access_token', WHO)
}

function tokenUrl(fields: JsonFields): string {
  const given = fields['token_uri']
  return typeof given === 'string' && URL.canParse(given) ? given : TOKEN_URL
}

/** RFC 7523 with RS256. */
function assertion(fields: JsonFields, now: number): string {
  const issued = Math.floor(now / 1000)
  const email = answered(fields, 'client_email', 'the Google credentials file')
  const claims = { iss: email, aud: tokenUrl(fields), scope: SCOPE, iat: issued }
  const unsigned = [
    { alg: 'RS256', typ: 'JWT' },
    { ...claims, exp: issued + LIFETIME_S },
  ]
    .map((each) => Buffer.from(JSON.stringify(each)).toString('base64url'))
    .join('.')
  const signature = sign('sha256', Buffer.from(unsigned), keyIn(fields)).toString('base64url')
  return `${unsigned}.${signature}`
}

function keyIn(fields: JsonFields): KeyObject {
  const pem = answered(fields, 'private_key', 'the Google credentials file')
  try {
    return createPrivateKey(pem)
  } catch (cause) {
    throw new SopsError(
      'INVALID_KEY',
      'the private key of the Google credentials cannot be read',
      cause,
    )
  }
}

async function machineToken({ env, fetch }: KeySurroundings): Promise<string> {
  const host = env['GCE_METADATA_HOST'] ?? 'metadata.google.internal'
  const who = 'the metadata server of Google, for lack of GOOGLE_APPLICATION_CREDENTIALS,'
  const answer = await answerJson(fetch, {
    url: `http://${host}/computeMetadata/v1/instance/service-accounts/default/token`,
    method: 'GET',
    headers: { 'metadata-flavor': 'Google' },
    timeoutMs: 3000,
    who,
  })
  return answered(answer, 'access_token', who)
}
