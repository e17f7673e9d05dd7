import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { awsService, azureService, gcpService } from '../../test/fakes/key-services.ts'
import { FairwayError } from '../model/errors.ts'
import { parseAppName, parseEnvironmentName } from '../model/names.ts'
import { Secret, type EnvironmentKeys, type TransitKeys } from '../model/secrets.ts'
import { wrapDataKey, type MasterKey } from '../sops/data-key.ts'
import { formatOf } from '../sops/format-of.ts'
import { newAgeIdentity } from '../sops/keys/age.ts'
import type { KeyFetch, KeyKind } from '../sops/keys/key-kind.ts'
import { namesOf, typeOfId } from '../sops/keys/key-names.ts'
import { encryptFile } from '../sops/sops-file.ts'
import { DocumentKeys, transitOpener } from './document-keys.ts'
import { parseKeyRules } from './key-rules.ts'
import { cloudKeys, ownKeys } from './keyring.ts'
import { SopsReleaseSecrets } from './release-secrets.ts'

const shop = { app: parseAppName('shop'), environment: parseEnvironmentName('production') }
const users = new Map([['AKIAEXAMPLE', { secret: 'planted-aws-secret', token: null }]])
const aws = awsService(users)
const { publicKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
})
const gcp = gcpService(() => ({ publicKey, email: 'x@example.com' }))
const azure = azureService({ id: 'client', secret: 'planted-azure-secret' })
const azureUrl = await azure.start()
const env: Readonly<Record<string, string>> = {
  AWS_ACCESS_KEY_ID: 'AKIAEXAMPLE',
  AWS_SECRET_ACCESS_KEY: 'planted-aws-secret',
  AWS_ENDPOINT_URL: await aws.start(),
  SOPS_GCP_KMS_ENDPOINT: await gcp.start(),
  GOOGLE_OAUTH_ACCESS_TOKEN: 'given-by-environment',
  AZURE_TENANT_ID: 'tenant',
  AZURE_CLIENT_ID: 'client',
  AZURE_CLIENT_SECRET: 'planted-azure-secret',
  AZURE_AUTHORITY_HOST: azureUrl,
}
after(() => Promise.all([aws.close(), gcp.close(), azure.close()]))

/** Azure's vaults are hosts of Azure: on the way to them stands the service on loopback. */
const fetched: KeyFetch = (url, init) =>
  fetch(url.replace('https://team.vault.azure.net', azureUrl), init)
const home = { env, home: '/nonexistent', fetch: fetched, now: Date.now }

const ARN = 'arn:aws:kms:eu-west-1:123456789012:key/one'
const AZURE = 'https://team.vault.azure.net/keys/sops'
const GCP = 'projects/a/locations/global/keyRings/b/cryptoKeys/c'
const VAULT = 'https://vault.example.com/v1/transit/keys/shop'

/** What Vault does with a key, without Vault: test/e2e/vault-keys.all.test.ts has a real one. */
const transit: TransitKeys = {
  decrypt: ({ mount, name }, ciphertext) => {
    assert.deepEqual([mount, name], ['transit', 'shop'])
    return Promise.resolve(Secret.of(Buffer.from(ciphertext.replace('vault:v1:', ''), 'base64')))
  },
}
const sealing: KeyKind = {
  ...transitOpener(transit),
  wrap: (_names, bytes) => Promise.resolve({ enc: `vault:v1:${bytes.toString('base64')}` }),
}

async function bed(text: string, vault: TransitKeys = transit) {
  const rules = parseKeyRules(`shop/production=${text}`)
  assert.ok(typeof rules !== 'string')
  const { identity, recipient } = await newAgeIdentity()
  const own: EnvironmentKeys = {
    recipient: () => Promise.resolve(recipient),
    identity: () => Promise.resolve(Secret.of(identity)),
  }
  const keys = new DocumentKeys({
    ...{ own, rules },
    services: [transitOpener(vault), ...cloudKeys(home)],
  })
  const secrets = new SopsReleaseSecrets(keys)
  const open = async (...groups: readonly (readonly MasterKey[])[]): Promise<string> => {
    const rule = {
      ...{ groups, threshold: 0, macOnlyEncrypted: false },
      selector: { name: 'unencrypted_suffix' as const, value: '_plain' },
    }
    const kinds = [...ownKeys(home).filter(({ type }) => type !== 'hc_vault'), sealing]
    const sources = { keys: kinds, random: randomBytes, now: Date.now }
    const text = await encryptFile(formatOf('s.yaml'), 'A: planted\n', rule, sources)
    const { folders } = await secrets.open(shop, { documents: [{ path: 's.yaml', text }], env: {} })
    return folders[0]?.files.get('A')?.revealText() ?? ''
  }
  return { keys, open, recipient }
}

function key(id: string, more: MasterKey['names'] = {}): MasterKey {
  const type = typeOfId(id)
  return { type, id, names: { ...namesOf(type, id), ...more } }
}

describe('keys of environments that are kept elsewhere', () => {
  for (const id of [ARN, GCP, AZURE, VAULT])
    test(`${id.slice(0, 24)}… is told, and opens`, async () => {
      const { keys, open } = await bed(id)
      assert.equal(await keys.recipient(shop), id)
      assert.equal(await open([key(id)]), 'planted')
    })

  test('one that the server could use, and that is not this environment’s, is not even asked', async () => {
    const { open } = await bed(`${ARN} ${GCP} ${VAULT}`)
    const sealed = (): number => aws.seen.length + gcp.seen.length
    for (const id of [
      ARN.replace('key/one', 'key/two'),
      GCP.replace('cryptoKeys/c', 'cryptoKeys/other'),
      VAULT.replace('keys/shop', 'keys/other'),
      VAULT.replace('vault.example.com', 'elsewhere.example.com'),
      AZURE,
    ]) {
      const seen = sealed()
      await assert.rejects(open([key(id)]), (error) => {
        assert.ok(error instanceof FairwayError)
        assert.equal(error.code, 'SECRETS_CLOSED')
        assert.match(error.message, new RegExp(`its key ${ARN} is no recipient`))
        return true
      })
      // Wrapping asks once where there is a service.
      assert.ok(sealed() <= seen + 1, id)
    }
  })

  test('a role or profile that a file names is not taken on', async () => {
    const { open } = await bed(ARN)
    const role = 'arn:aws:iam::123456789012:role/other'
    await assert.rejects(open([key(`${ARN}+${role}`)]), { code: 'SECRETS_CLOSED' })
    // With it the server would look for another login in ~/.aws, which is not there.
    const { keys } = await bed(ARN)
    const [group = []] = await wrapDataKey(Buffer.alloc(32, 7), [[key(ARN)]], 0, {
      ...{ keys: cloudKeys(home), random: randomBytes, now: Date.now },
    })
    const opener = (await keys.openers(shop)).find(({ type }) => type === 'kms')
    const fields = { ...group[0]?.fields, aws_profile: 'admin' }
    assert.deepEqual(await opener?.unwrap(fields), Buffer.alloc(32, 7))
  })

  test('the server’s own key opens only where a rule names it', async () => {
    const only = await bed(VAULT)
    await assert.rejects(only.open([key(only.recipient)]), { code: 'SECRETS_CLOSED' })
    const both = await bed(`${VAULT} age`)
    assert.equal(await both.open([key(both.recipient)]), 'planted')
    assert.equal(await both.open([key(VAULT)]), 'planted')
    assert.equal(await both.keys.recipient(shop), VAULT)
  })

  test('a refusal is told with the file, what was asked and what it means; another key of the file may do', async () => {
    const refusing: TransitKeys = {
      decrypt: () => Promise.reject(new FairwayError('VAULT_UNAVAILABLE', 'Vault is sealed')),
    }
    const { open, recipient } = await bed(`${VAULT} ${ARN} age`, refusing)
    await assert.rejects(open([key(VAULT)]), (error) => {
      assert.ok(error instanceof FairwayError)
      assert.equal(error.code, 'VAULT_UNAVAILABLE')
      assert.match(error.message, /^s\.yaml: the environment production of shop cannot open it: /)
      assert.match(error.message, /Vault is sealed/)
      return true
    })
    assert.equal(await open([key(VAULT), key(ARN)]), 'planted')
    assert.equal(await open([key(VAULT), key(recipient)]), 'planted')
    users.set('AKIAEXAMPLE', { secret: 'changed', token: null })
    const { keys } = await bed(ARN)
    const opener = (await keys.openers(shop)).find(({ type }) => type === 'kms')
    await assert.rejects(Promise.resolve(opener?.unwrap({ arn: ARN, enc: 'AAAA' })), {
      code: 'KEY_FAILED',
      message: /AWS KMS .* answered 403: the request signature does not match/,
    })
    users.set('AKIAEXAMPLE', { secret: 'planted-aws-secret', token: null })
  })
})
