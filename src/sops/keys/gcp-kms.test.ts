import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { gcpService } from '../../../test/fakes/key-services.ts'
import { gcpKmsKind } from './gcp-kms.ts'
import type { KeySurroundings } from './key-kind.ts'

const NAME = 'projects/shop/locations/global/keyRings/team/cryptoKeys/sops'
const pem = { type: 'pkcs8', format: 'pem' } as const
const { publicKey, privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: pem,
})
const email = 'sops@shop.example'
const service = gcpService(() => ({ publicKey, email }))
const url = await service.start()
after(() => service.close())

function kind(env: Readonly<Record<string, string>>): ReturnType<typeof gcpKmsKind> {
  const surroundings: KeySurroundings = {
    env: { SOPS_GCP_KMS_ENDPOINT: url, ...env },
    home: '/nonexistent',
    fetch,
    now: Date.now,
  }
  return gcpKmsKind(surroundings)
}

function account(key: string): string {
  return JSON.stringify({
    type: 'service_account',
    client_email: email,
    private_key: key,
    token_uri: `${url}/token`,
  })
}

test('wraps and opens as a service account and with a token', async () => {
  const bytes = randomBytes(33)
  const own = kind({ GOOGLE_CREDENTIALS: account(privateKey) })
  const wrapped = { resource_id: NAME, ...(await own.wrap({ resource_id: NAME }, bytes)) }
  assert.deepEqual(await own.unwrap(wrapped), bytes)
  const byToken = kind({ GOOGLE_OAUTH_ACCESS_TOKEN: 'given-by-environment' })
  assert.deepEqual(await byToken.unwrap(wrapped), bytes)
  await assert.rejects(byToken.unwrap({ ...wrapped, resource_id: NAME.replace('sops', 'other') }), {
    code: 'KEY_FAILED',
    message: /400: Decryption failed/,
  })
})

test('another account and names that are no keys are refused', async () => {
  const other = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: pem,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  await assert.rejects(
    kind({ GOOGLE_CREDENTIALS: account(other.privateKey) }).wrap(
      { resource_id: NAME },
      Buffer.alloc(32),
    ),
    { code: 'KEY_FAILED', message: /invalid_grant/ },
  )
  const before = service.seen.length
  await assert.rejects(
    kind({ GOOGLE_OAUTH_ACCESS_TOKEN: 'x' }).unwrap({
      resource_id: `${NAME}/../../x`,
      enc: 'AAAA',
    }),
    { code: 'INVALID_KEY' },
  )
  assert.equal(service.seen.length, before)
})
