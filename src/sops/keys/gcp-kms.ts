import type { MetadataObject } from '../document.ts'
import { SopsError } from '../sops-error.ts'
import { gcpToken } from './gcp-credentials.ts'
import { answered, answerJson, type JsonFields } from './key-answer.ts'
import type { KeyKind, KeySurroundings } from './key-kind.ts'
import { textField } from './key-names.ts'

const WHO = 'GCP KMS'
const ENDPOINT = 'https://cloudkms.googleapis.com'
const NAME = /^projects\/[\w.:-]+\/locations\/[\w-]+\/keyRings\/[\w-]+\/cryptoKeys\/[\w-]+$/

/** Keys of Google Cloud KMS (gcpkms/keysource.go), over its REST interface. */
export function gcpKmsKind(surroundings: KeySurroundings): KeyKind {
  return {
    type: 'gcp_kms',
    wrap: async (names, bytes) => {
      const answer = await kms(surroundings, names, 'encrypt', {
        plaintext: bytes.toString('base64'),
      })
      return { enc: answered(answer, 'ciphertext', WHO) }
    },
    unwrap: async (fields) => {
      const answer = await kms(surroundings, fields, 'decrypt', {
        ciphertext: textField(fields, 'enc'),
      })
      return Buffer.from(answered(answer, 'plaintext', WHO), 'base64')
    },
  }
}

async function kms(
  surroundings: KeySurroundings,
  names: MetadataObject,
  verb: 'encrypt' | 'decrypt',
  body: Readonly<Record<string, string>>,
): Promise<JsonFields> {
  const name = textField(names, 'resource_id')
  if (!NAME.test(name)) {
    throw new SopsError('INVALID_KEY', `${JSON.stringify(name.slice(0, 120))} is no key of GCP KMS`)
  }
  const given = surroundings.env['SOPS_GCP_KMS_ENDPOINT'] ?? ''
  const endpoint = given === '' ? ENDPOINT : given.replace(/\/$/, '')
  return answerJson(surroundings.fetch, {
    url: `${endpoint}/v1/${name}:${verb}`,
    who: WHO,
    headers: {
      authorization: `Bearer ${await gcpToken(surroundings)}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify(body),
  })
}
