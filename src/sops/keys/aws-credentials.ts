import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfExists } from '../../lib/atomic-file.ts'
import { SopsError } from '../sops-error.ts'
import type { AwsCredentials } from './aws-signature.ts'
import { signedHeaders } from './aws-signature.ts'
import { answered, answerJson, answerText } from './key-answer.ts'
import type { KeySurroundings } from './key-kind.ts'

const STS_VERSION = '2011-06-15'

/**
 * This user's credentials: AWS_ACCESS_KEY_ID…, else the web identity of a pod, else a profile of the shared files, else those of a container.
 * @param profile of the file's key; empty for AWS_PROFILE, else `default`
 * @throws SopsError KEY_FAILED
 */
export async function awsCredentials(
  surroundings: KeySurroundings,
  { profile, region }: { readonly profile: string; readonly region: string },
): Promise<AwsCredentials> {
  const { env } = surroundings
  const name = profile === '' ? (env['AWS_PROFILE'] ?? 'default') : profile
  const found =
    (profile === '' ? await ownCredentials(surroundings, region) : null) ??
    (await sharedProfile(surroundings, name)) ??
    (profile === '' ? await containerCredentials(surroundings) : null)
  if (found !== null) return found
  throw new SopsError(
    'KEY_FAILED',
    `there are no AWS credentials (AWS_ACCESS_KEY_ID, or the profile ${JSON.stringify(name)} of ~/.aws/credentials)`,
  )
}

/** The credentials of another role (STS AssumeRole). @throws SopsError KEY_FAILED */
export async function assumedRole(
  { env, fetch, now }: KeySurroundings,
  credentials: AwsCredentials,
  { role, region }: { readonly role: string; readonly region: string },
): Promise<AwsCredentials> {
  const url = stsUrl(env, region)
  const body = form({ Action: 'AssumeRole', RoleArn: role })
  const headers = signedHeaders(
    { url, body, region, service: 'sts', headers: FORM_TYPE },
    credentials,
    now(),
  )
  return fromSts(await answerText(fetch, { url, headers, body, who: 'AWS STS' }))
}

/** The address of a service; AWS_ENDPOINT_URL_… of this user's environment goes first. */
export function awsEndpoint(
  env: KeySurroundings['env'],
  service: 'kms' | 'sts',
  region: string,
): string {
  const own = env[`AWS_ENDPOINT_URL_${service.toUpperCase()}`] ?? env['AWS_ENDPOINT_URL'] ?? ''
  if (own !== '') return `${own.replace(/\/$/, '')}/`
  const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com'
  return `https://${service}.${region}.${domain}/`
}

const FORM_TYPE = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }

/** What the environment holds itself. */
async function ownCredentials(
  surroundings: KeySurroundings,
  region: string,
): Promise<AwsCredentials | null> {
  const { env } = surroundings
  const accessKeyId = env['AWS_ACCESS_KEY_ID'] ?? ''
  const secretAccessKey = env['AWS_SECRET_ACCESS_KEY'] ?? ''
  if (accessKeyId !== '' && secretAccessKey !== '') {
    return { accessKeyId, secretAccessKey, sessionToken: nonEmpty(env['AWS_SESSION_TOKEN']) }
  }
  const tokenFile = env['AWS_WEB_IDENTITY_TOKEN_FILE'] ?? ''
  const role = env['AWS_ROLE_ARN'] ?? ''
  if (tokenFile === '' || role === '') return null
  return webIdentity(surroundings, { tokenFile, role, region })
}

async function webIdentity(
  { env, fetch }: KeySurroundings,
  given: { readonly tokenFile: string; readonly role: string; readonly region: string },
): Promise<AwsCredentials> {
  const token = (await readFile(given.tokenFile, 'utf8')).trim()
  const url = stsUrl(env, given.region)
  const body = form({
    Action: 'AssumeRoleWithWebIdentity',
    RoleArn: given.role,
    WebIdentityToken: token,
  })
  return fromSts(await answerText(fetch, { url, headers: FORM_TYPE, body, who: 'AWS STS' }))
}

function stsUrl(env: KeySurroundings['env'], region: string): string {
  return awsEndpoint(env, 'sts', region)
}

function form(fields: Readonly<Record<string, string>>): string {
  return new URLSearchParams({
    ...fields,
    RoleSessionName: 'fairway',
    Version: STS_VERSION,
  }).toString()
}

/** STS answers in XML with three values that need no parser. */
function fromSts(xml: string): AwsCredentials {
  const value = (name: string): string => {
    const found = new RegExp(`<${name}>([A-Za-z0-9+/=_.-]+)</${name}>`).exec(xml)?.[1]
    if (found !== undefined) return found
    throw new SopsError('KEY_FAILED', `AWS STS answered without ${name}`)
  }
  return {
    accessKeyId: value('AccessKeyId'),
    secretAccessKey: value('SecretAccessKey'),
    sessionToken: value('SessionToken'),
  }
}

async function sharedProfile(
  { env, home }: KeySurroundings,
  name: string,
): Promise<AwsCredentials | null> {
  const files = [
    env['AWS_SHARED_CREDENTIALS_FILE'] ?? join(home, '.aws', 'credentials'),
    env['AWS_CONFIG_FILE'] ?? join(home, '.aws', 'config'),
  ]
  for (const file of files) {
    const text = await readIfExists(file)
    const section = text === null ? null : sectionOf(text, name)
    const accessKeyId = section?.get('aws_access_key_id')
    const secretAccessKey = section?.get('aws_secret_access_key')
    if (accessKeyId === undefined || secretAccessKey === undefined) continue
    const sessionToken = section?.get('aws_session_token') ?? null
    return { accessKeyId, secretAccessKey, sessionToken }
  }
  return null
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

async function containerCredentials({
  env,
  fetch,
}: KeySurroundings): Promise<AwsCredentials | null> {
  const path = env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'] ?? ''
  if (path === '') return null
  const who = 'the container credentials of AWS'
  const url = new URL(path, 'http://169.254.170.2').href
  const answer = await answerJson(fetch, { url, method: 'GET', who, timeoutMs: 5000 })
  return {
    accessKeyId: answered(answer, 'AccessKeyId', who),
    secretAccessKey: answered(answer, 'SecretAccessKey', who),
    sessionToken: answered(answer, 'Token', who),
  }
}

function nonEmpty(text: string | undefined): string | null {
  return text === undefined || text === '' ? null : text
}
