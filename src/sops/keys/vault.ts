import { join } from 'node:path'
import { readIfExists } from '../../lib/atomic-file.ts'
import type { MetadataObject } from '../document.ts'
import { SopsError } from '../sops-error.ts'
import { answered, answerJson, fieldsOf, type JsonFields } from './key-answer.ts'
import type { KeyKind, KeySurroundings } from './key-kind.ts'
import { textField } from './key-names.ts'

const WHO = 'Vault'

/**
 * Keys of the transit engine of HashiCorp Vault and OpenBao. A file names the address that it wants to be opened at, so the token goes to no address
 * but that of VAULT_ADDR and those of SOPS_HC_VAULT_ALLOWLIST (prefixes of URLs, with commas; `all` allows any).
 */
export function vaultKind(surroundings: KeySurroundings): KeyKind {
  return {
    type: 'hc_vault',
    wrap: async (names, bytes) => {
      const data = await transit(surroundings, names, 'encrypt', {
        plaintext: bytes.toString('base64'),
      })
      return { enc: answered(data, 'ciphertext', WHO) }
    },
    unwrap: async (fields) => {
      const ciphertext = textField(fields, 'enc')
      const data = await transit(surroundings, fields, 'decrypt', { ciphertext })
      return Buffer.from(answered(data, 'plaintext', WHO), 'base64')
    },
  }
}

/** Whether the token may go to this address. */
export function allowsVault(address: string, env: KeySurroundings['env']): boolean {
  const list = env['SOPS_HC_VAULT_ALLOWLIST'] ?? ''
  if (list === 'all') return true
  const allowed = [env['VAULT_ADDR'] ?? '', ...(list === 'none' ? [] : list.split(','))]
  const wanted = withSlash(address)
  return allowed.some((each) => each.trim() !== '' && wanted.startsWith(withSlash(each.trim())))
}

async function transit(
  { env, home, fetch }: KeySurroundings,
  names: MetadataObject,
  verb: 'encrypt' | 'decrypt',
  body: Readonly<Record<string, string>>,
): Promise<JsonFields | null> {
  const address = textField(names, 'vault_address')
  const url = `${origin(address)}/v1/${segments(`${textField(names, 'engine_path')}/${verb}/${textField(names, 'key_name')}`)}`
  if (!allowsVault(address, env)) {
    throw new SopsError(
      'KEY_FAILED',
      `the file wants ${address} to open it, and no token goes there: it is neither VAULT_ADDR nor in SOPS_HC_VAULT_ALLOWLIST`,
    )
  }
  const token = env['VAULT_TOKEN'] ?? (await readIfExists(join(home, '.vault-token')))?.trim()
  if (token === undefined || token === '') {
    throw new SopsError(
      'KEY_FAILED',
      `there is no token for ${address} (VAULT_TOKEN, \`vault login\`)`,
    )
  }
  const namespace = env['VAULT_NAMESPACE'] ?? ''
  const answer = await answerJson(fetch, {
    url,
    method: 'PUT',
    who: WHO,
    headers: {
      'x-vault-token': token,
      'x-vault-request': 'true',
      'content-type': 'application/json',
      ...(namespace === '' ? {} : { 'x-vault-namespace': namespace }),
    },
    body: JSON.stringify(body),
  })
  return fieldsOf(answer['data'])
}

/** Only scheme, host and port: what follows would be another path on the server. @throws SopsError INVALID_KEY */
function origin(address: string): string {
  const url = URL.canParse(address) ? new URL(address) : null
  const isPlain =
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    url.pathname === '/' &&
    url.search === '' &&
    url.hash === '' &&
    url.username === '' &&
    url.password === ''
  if (url === null || !isPlain) {
    throw new SopsError(
      'INVALID_KEY',
      `${JSON.stringify(address.slice(0, 120))} is no address of a Vault`,
    )
  }
  return url.origin
}

function segments(path: string): string {
  const parts = path.split('/').filter((part) => part !== '')
  if (parts.length < 3 || parts.some((part) => !/^[\w.-]+$/.test(part) || /^\.+$/.test(part))) {
    throw new SopsError(
      'INVALID_KEY',
      `${JSON.stringify(path.slice(0, 120))} is no path of a key of Vault`,
    )
  }
  return parts.join('/')
}

function withSlash(url: string): string {
  return url.endsWith('/') ? url : `${url}/`
}
