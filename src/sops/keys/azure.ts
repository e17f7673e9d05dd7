import type { MetadataObject } from '../document.ts'
import { SopsError } from '../sops-error.ts'
import { azureToken } from './azure-credentials.ts'
import { answered, answerJson, fieldsOf, type JsonFields } from './key-answer.ts'
import type { KeyKind, KeySurroundings } from './key-kind.ts'
import { textField } from './key-names.ts'

const WHO = 'Azure Key Vault'
const API_VERSION = '7.4'
const ALGORITHM = 'RSA-OAEP-256'
/** A token for one vault opens all of a user's vaults, so it goes to Azure's own hosts alone, whatever a file names. Host ending -> whom the token is for. */
const CLOUDS: Readonly<Record<string, string>> = {
  '.vault.azure.net': 'https://vault.azure.net',
  '.vault.azure.cn': 'https://vault.azure.cn',
  '.vault.usgovcloudapi.net': 'https://vault.usgovcloudapi.net',
  '.managedhsm.azure.net': 'https://managedhsm.azure.net',
}

/** RSA keys of Azure Key Vault (azkv/keysource.go), over its REST interface. */
export function azureKind(surroundings: KeySurroundings): KeyKind {
  return {
    type: 'azure_kv',
    wrap: async (names, bytes) => {
      const version = textField(names, 'version') || (await latestVersion(surroundings, names))
      const named = { ...names, version }
      const answer = await operation(surroundings, named, 'encrypt', bytes.toString('base64url'))
      return { version, enc: answered(answer, 'value', WHO) }
    },
    unwrap: async (fields) => {
      const answer = await operation(surroundings, fields, 'decrypt', textField(fields, 'enc'))
      return Buffer.from(answered(answer, 'value', WHO), 'base64url')
    },
  }
}

/** A file must name the version that wrapped its key. */
async function latestVersion(
  surroundings: KeySurroundings,
  names: MetadataObject,
): Promise<string> {
  const key = fieldsOf((await ask(surroundings, names, null))['key'])
  const kid = answered(key, 'kid', WHO)
  const version = /\/keys\/[^/]+\/(\w+)$/.exec(kid)?.[1]
  if (version !== undefined) return version
  throw new SopsError('KEY_FAILED', `${WHO} answered without the version of the key`)
}

async function operation(
  surroundings: KeySurroundings,
  names: MetadataObject,
  verb: 'encrypt' | 'decrypt',
  value: string,
): Promise<JsonFields> {
  return ask(surroundings, names, { verb, body: JSON.stringify({ alg: ALGORITHM, value }) })
}

async function ask(
  surroundings: KeySurroundings,
  names: MetadataObject,
  operation: { readonly verb: string; readonly body: string } | null,
): Promise<JsonFields> {
  const { host, audience } = vaultOf(textField(names, 'vault_url'))
  const [name, version] = [textField(names, 'name'), textField(names, 'version')]
  if (!/^[\w-]+$/.test(name) || !/^\w*$/.test(version)) {
    throw new SopsError('INVALID_KEY', `${JSON.stringify(name.slice(0, 80))} is no key of ${WHO}`)
  }
  const path = [name, version, operation?.verb ?? ''].filter((part) => part !== '').join('/')
  const token = await azureToken(surroundings, audience)
  return answerJson(surroundings.fetch, {
    url: `https://${host}/keys/${path}?api-version=${API_VERSION}`,
    method: operation === null ? 'GET' : 'POST',
    who: WHO,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(operation === null ? {} : { body: operation.body }),
  })
}

function vaultOf(address: string): { readonly host: string; readonly audience: string } {
  const url = URL.canParse(address) ? new URL(address) : null
  const cloud = Object.entries(CLOUDS).find(([ending]) => url?.hostname.endsWith(ending))
  const isPlain = url?.protocol === 'https:' && url.port === '' && url.username === ''
  if (url === null || cloud === undefined || !isPlain) {
    throw new SopsError(
      'KEY_FAILED',
      `no token goes to ${JSON.stringify(address.slice(0, 120))}: it is no vault of Azure (https://NAME.vault.azure.net)`,
    )
  }
  return { host: url.host, audience: cloud[1] }
}
