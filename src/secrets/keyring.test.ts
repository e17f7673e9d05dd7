import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { awsService, gcpService } from '../../test/fakes/key-services.ts'
import { unwrapDataKey, wrapDataKey } from '../sops/data-key.ts'
import { ownKeys } from './keyring.ts'

const aws = awsService(new Map([['AKIDOWN', { secret: 'own/secret', token: null }]]))
const gcp = gcpService(() => ({ publicKey: '', email: 'x@example.com' }))
const env = {
  AWS_ENDPOINT_URL: await aws.start(),
  AWS_ACCESS_KEY_ID: 'AKIDOWN',
  AWS_SECRET_ACCESS_KEY: 'own/secret',
  SOPS_GCP_KMS_ENDPOINT: await gcp.start(),
  GOOGLE_OAUTH_ACCESS_TOKEN: 'given-by-environment',
}
after(() => Promise.all([aws.close(), gcp.close()]))

const keys = (order: string) =>
  ownKeys({
    ...{ env: { ...env, SOPS_DECRYPTION_ORDER: order }, home: '/nonexistent' },
    ...{ fetch, now: Date.now },
  })
const readers = [
  { type: 'kms', id: 'arn:aws:kms:eu-west-1:123456789012:key/one' },
  { type: 'gcp_kms', id: 'projects/a/locations/global/keyRings/b/cryptoKeys/c' },
] as const

test('keys are tried in the order of SOPS_DECRYPTION_ORDER, those that it does not name after them', async () => {
  const dataKey = randomBytes(32)
  const wrapping = { keys: keys(''), random: randomBytes, now: Date.now }
  const groups = await wrapDataKey(dataKey, [readers], 0, wrapping)
  for (const [order, asked] of [
    ['', 'aws'],
    ['gcp_kms', 'gcp'],
    ['hc_vault, gcp_kms,kms', 'gcp'],
    ['age', 'aws'],
  ] as const) {
    const before = [aws.seen.length, gcp.seen.length]
    assert.deepEqual(await unwrapDataKey(groups, 0, keys(order)), dataKey)
    const now = [aws.seen.length, gcp.seen.length]
    assert.deepEqual(
      now.map((count, index) => count - (before[index] ?? 0)),
      asked === 'aws' ? [1, 0] : [0, 1],
      order,
    )
  }
})

test('an order that names something else, or something twice, is refused', () => {
  for (const order of ['vault', 'age,age', 'age;pgp'])
    assert.throws(() => keys(order), {
      code: 'INVALID_REQUEST',
      message:
        /^SOPS_DECRYPTION_ORDER: expected each of age, pgp, hc_vault, kms, gcp_kms, azure_kv at/,
    })
})
