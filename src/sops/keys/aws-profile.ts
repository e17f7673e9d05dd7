/** Profiles of the shared files of AWS: `~/.aws/credentials`, `~/.aws/config`. */
import { join } from 'node:path'
import { readIfExists } from '../../lib/atomic-file.ts'
import { SopsError } from '../sops-error.ts'
import type { AwsCredentials } from './aws-signature.ts'
import type { KeySurroundings } from './key-kind.ts'

/** What a profile says: keys of its own, or a role that another profile may take on. */
export interface AwsProfile {
  readonly own: AwsCredentials | null
  readonly role: {
    readonly arn: string
    readonly externalId: string | null
    /** Name of the profile with the login; may be this one. */
    readonly source: string
  } | null
}

/** Ways to log in that a profile can ask for and that are not here. */
const UNSUPPORTED = [
  'mfa_serial',
  'sso_session',
  'sso_start_url',
  'credential_process',
  'credential_source',
  'web_identity_token_file',
] as const

/** Null where no file has it. @throws SopsError KEY_FAILED naming the setting that is not supported */
export async function awsProfile(
  { env, home }: Pick<KeySurroundings, 'env' | 'home'>,
  name: string,
): Promise<AwsProfile | null> {
  const files = [
    env['AWS_CONFIG_FILE'] ?? join(home, '.aws', 'config'),
    env['AWS_SHARED_CREDENTIALS_FILE'] ?? join(home, '.aws', 'credentials'),
  ]
  const fields = new Map<string, string>()
  for (const file of files) {
    const text = await readIfExists(file)
    for (const [key, value] of text === null ? [] : sectionOf(text, name)) fields.set(key, value)
  }
  return fields.size === 0 ? null : profileOf(fields, name)
}

function profileOf(fields: ReadonlyMap<string, string>, name: string): AwsProfile {
  const accessKeyId = fields.get('aws_access_key_id')
  const secretAccessKey = fields.get('aws_secret_access_key')
  const sessionToken = fields.get('aws_session_token') ?? null
  const own =
    accessKeyId === undefined || secretAccessKey === undefined
      ? null
      : { accessKeyId, secretAccessKey, sessionToken }
  const [arn, source] = [fields.get('role_arn'), fields.get('source_profile')]
  const externalId = fields.get('external_id') ?? null
  const role = arn === undefined || source === undefined ? null : { arn, source, externalId }
  const unsupported = UNSUPPORTED.find((key) => fields.has(key))
  if (unsupported !== undefined && (own === null || role !== null))
    throw new SopsError(
      'KEY_FAILED',
      `the profile ${JSON.stringify(name)} of ~/.aws has ${unsupported}, which is not supported here: give AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, as \`aws configure export-credentials\` prints them`,
    )
  return { own, role }
}

function sectionOf(text: string, name: string): Map<string, string> {
  const fields = new Map<string, string>()
  let isWanted = false
  for (const line of text.split(/\r?\n/)) {
    const heading = /^\s*\[\s*(?:profile\s+)?([^\]]+?)\s*\]/.exec(line)?.[1]
    if (heading !== undefined) isWanted = heading === name
    const [, key, value] = /^\s*(\w+)\s*=\s*(.*?)\s*$/.exec(line) ?? []
    if (isWanted && key !== undefined && value !== undefined) fields.set(key, value)
  }
  return fields
}
