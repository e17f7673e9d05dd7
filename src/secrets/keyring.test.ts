import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { awsService, gcpService } from '../../test/fakes/key-services.ts'
import {
  ED25519_LINE,
  ED25519_LOCKED,
  PASSPHRASE,
  RSA_LINE,
  RSA_LOCKED,
} from '../../test/locked-ssh-keys.ts'
import { Secret } from '../model/secrets.ts'
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

test('ssh keys are asked for by the names of their files, and .pub spares a question', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-keyring-'))
  try {
    const asked: string[] = []
    const home = join(folder, 'home')
    await mkdir(join(home, '.ssh'), { recursive: true })
    const [elsewhere, printed] = [join(folder, 'elsewhere'), join(folder, 'printed')]
    await writeFile(elsewhere, RSA_LOCKED.PEM)
    await writeFile(printed, ED25519_LOCKED['aes192-ctr'] ?? '')
    await writeFile(join(home, '.ssh/id_ed25519'), ED25519_LOCKED['aes128-ctr'] ?? '')
    await writeFile(join(home, '.ssh/id_rsa'), RSA_LOCKED.PKCS8)
    const opened = async (line: string, last: string): Promise<readonly string[]> => {
      const own = ownKeys({
        ...{ home, fetch, now: Date.now },
        env: {
          SOPS_AGE_SSH_PRIVATE_KEY_FILE: elsewhere,
          SOPS_AGE_SSH_PRIVATE_KEY_CMD: `cat ${printed}`,
        },
        passphrase: (name) => {
          asked.push(name)
          return Promise.resolve(Secret.of(name === last ? PASSPHRASE : ''))
        },
      })
      const dataKey = randomBytes(32)
      const wrapping = { keys: own, random: randomBytes, now: Date.now }
      const groups = await wrapDataKey(dataKey, [[{ type: 'age', id: line }]], 0, wrapping)
      assert.deepEqual(await unwrapDataKey(groups, 0, own), dataKey)
      return asked.splice(0)
    }
    const command = 'the key of SOPS_AGE_SSH_PRIVATE_KEY_CMD'
    const mine = '~/.ssh/id_ed25519'
    assert.deepEqual(await opened(ED25519_LINE, mine), [command, mine])
    assert.deepEqual(await opened(RSA_LINE, '~/.ssh/id_rsa'), [elsewhere, '~/.ssh/id_rsa'])
    await writeFile(`${elsewhere}.pub`, `${ED25519_LINE} me@here\n`)
    assert.deepEqual(await opened(RSA_LINE, '~/.ssh/id_rsa'), ['~/.ssh/id_rsa'])
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
