import { readFile } from 'node:fs/promises'
import { SopsError } from '../sops-error.ts'
import { awsProfile } from './aws-profile.ts'
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
    (await profileCredentials(surroundings, { name, region })) ??
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
  {
    role,
    region,
    externalId = null,
  }: { readonly role: string; readonly region: string; readonly externalId?: string | null },
): Promise<AwsCredentials> {
  const url = stsUrl(env, region)
  const body = form({
    ...{ Action: 'AssumeRole', RoleArn: role },
    ...(externalId === null ? {} : { ExternalId: externalId }),
  })
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

/** Those of a profile, through the roles that lead from one to the next. */
async function profileCredentials(
  surroundings: KeySurroundings,
  { name, region }: { readonly name: string; readonly region: string },
  seen: readonly string[] = [],
): Promise<AwsCredentials | null> {
  const profile = await awsProfile(surroundings, name)
  if (profile?.role == null) return profile?.own ?? null
  const { arn: role, source, externalId } = profile.role
  const chain = [...seen, name]
  const login =
    source === name
      ? profile.own
      : chain.includes(source)
        ? null
        : await profileCredentials(surroundings, { name: source, region }, chain)
  if (login !== null) return assumedRole(surroundings, login, { role, region, externalId })
  throw new SopsError(
    'KEY_FAILED',
    `the profile ${JSON.stringify(name)} of ~/.aws takes its login from source_profile ${JSON.stringify(source)}, which has none`,
  )
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
