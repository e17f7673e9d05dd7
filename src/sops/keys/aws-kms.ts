import type { MetadataObject } from '../document.ts'
import { SopsError } from '../sops-error.ts'
import { assumedRole, awsCredentials, awsEndpoint } from './aws-credentials.ts'
import { signedHeaders } from './aws-signature.ts'
import { answered, answerJson, type JsonFields } from './key-answer.ts'
import type { KeyKind, KeySurroundings } from './key-kind.ts'
import { textField } from './key-names.ts'

const WHO = 'AWS KMS'
/** The region becomes a part of the host that is asked. */
const ARN = /^arn:aws[\w-]*:kms:([a-z0-9-]+):\d+:(?:key|alias)\/[\w/-]+$/

/** Keys of AWS KMS, with their encryption context and, where the file names one, through a role (kms/keysource.go). */
export function awsKmsKind(surroundings: KeySurroundings): KeyKind {
  return {
    type: 'kms',
    wrap: async (names, bytes) => {
      const answer = await kms(surroundings, names, 'Encrypt', {
        Plaintext: bytes.toString('base64'),
      })
      return { enc: answered(answer, 'CiphertextBlob', WHO) }
    },
    unwrap: async (fields) => {
      const answer = await kms(surroundings, fields, 'Decrypt', {
        CiphertextBlob: textField(fields, 'enc'),
      })
      return Buffer.from(answered(answer, 'Plaintext', WHO), 'base64')
    },
  }
}

async function kms(
  surroundings: KeySurroundings,
  names: MetadataObject,
  action: 'Encrypt' | 'Decrypt',
  input: Readonly<Record<string, string>>,
): Promise<JsonFields> {
  const arn = textField(names, 'arn')
  const region = ARN.exec(arn)?.[1]
  if (region === undefined) {
    throw new SopsError('INVALID_KEY', `${JSON.stringify(arn.slice(0, 120))} is no key of AWS KMS`)
  }
  const profile = textField(names, 'aws_profile')
  const own = await awsCredentials(surroundings, { profile, region })
  const role = textField(names, 'role')
  const credentials = role === '' ? own : await assumedRole(surroundings, own, { role, region })
  const url = awsEndpoint(surroundings.env, 'kms', region)
  // KeyId also for Decrypt: the service then refuses what another key has wrapped.
  const body = JSON.stringify({ KeyId: arn, ...input, ...contextOf(names) })
  const headers = signedHeaders(
    {
      url,
      body,
      region,
      service: 'kms',
      headers: {
        'content-type': 'application/x-amz-json-1.1',
        'x-amz-target': `TrentService.${action}`,
      },
    },
    credentials,
    surroundings.now(),
  )
  return answerJson(surroundings.fetch, { url, headers, body, who: WHO })
}

function contextOf(names: MetadataObject): MetadataObject {
  const context = names['context']
  return typeof context === 'object' && Object.keys(context).length > 0
    ? { EncryptionContext: context }
    : {}
}
