import { readFile } from 'node:fs/promises'
import { minimalEnv, ProgramError, run } from '../../lib/process.ts'
import { SopsError } from '../sops-error.ts'
import { answered, answerJson, jsonFields } from './key-answer.ts'
import type { KeySurroundings } from './key-kind.ts'

const WHO = 'the token service of Azure'
const AUTHORITY = 'https://login.microsoftonline.com'

/**
 * An access token: of a service principal (AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET), of a workload identity
 * (AZURE_FEDERATED_TOKEN_FILE), else of `az login`.
 * @throws SopsError KEY_FAILED
 */
export async function azureToken(
  { env, fetch }: KeySurroundings,
  audience: string,
): Promise<string> {
  const tenant = env['AZURE_TENANT_ID'] ?? ''
  const client = env['AZURE_CLIENT_ID'] ?? ''
  const proof = tenant === '' || client === '' ? null : await clientProof(env)
  if (proof === null) return azToken(env, audience)
  if (!/^[\w.-]+$/.test(tenant)) {
    throw new SopsError('INVALID_KEY', 'AZURE_TENANT_ID is no name of a tenant')
  }
  const authority = (env['AZURE_AUTHORITY_HOST'] ?? AUTHORITY).replace(/\/$/, '')
  const answer = await answerJson(fetch, {
    url: `${authority}/${tenant}/oauth2/v2.0/token`,
    who: WHO,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: client,
      scope: `${audience}/.default`,
      ...proof,
    }).toString(),
  })
  return answered(answer, 'access_token', WHO)
}

async function clientProof(
  env: KeySurroundings['env'],
): Promise<Readonly<Record<string, string>> | null> {
  const secret = env['AZURE_CLIENT_SECRET'] ?? ''
  if (secret !== '') return { client_secret: secret }
  const file = env['AZURE_FEDERATED_TOKEN_FILE'] ?? ''
  if (file === '') return null
  return {
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: (await readFile(file, 'utf8')).trim(),
  }
}

async function azToken(env: KeySurroundings['env'], audience: string): Promise<string> {
  const { HOME, AZURE_CONFIG_DIR } = env
  const args = ['account', 'get-access-token', '--resource', audience, '--output', 'json']
  try {
    const said = await run('az', args, {
      env: {
        ...minimalEnv(),
        ...(HOME === undefined ? {} : { HOME }),
        ...(AZURE_CONFIG_DIR === undefined ? {} : { AZURE_CONFIG_DIR }),
      },
      timeoutMs: 30_000,
    })
    return answered(jsonFields(said), 'accessToken', '`az account get-access-token`')
  } catch (cause) {
    if (!(cause instanceof ProgramError)) throw cause
    throw new SopsError(
      'KEY_FAILED',
      'there are no Azure credentials (AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or `az login`)',
      cause,
    )
  }
}
