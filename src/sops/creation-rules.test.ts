import assert from 'node:assert/strict'
import { test } from 'node:test'
import { creationRule } from './creation-rules.ts'

const AGE = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p'
const FP = '85D77543B3D624B63CEA9E6DBC17301B491B3F21'
const ARN = 'arn:aws:kms:us-east-1:656532927350:key/920aff2e-c5f1-4040-943a-047fa387b27e'

test('keys of all kinds, as texts and as maps', () => {
  const rule = creationRule(
    `creation_rules:
  - path_regex: flat
    kms: ${ARN}+arn:aws:iam::656532927350:role/sops, ${ARN}2
    aws_profile: team
    pgp: [${FP.toLowerCase()}]
    gcp_kms: projects/a/locations/global/keyRings/b/cryptoKeys/c
    azure_keyvault: https://team.vault.azure.net/keys/sops/abc, https://team.vault.azure.net/keys/sops
    hc_vault_transit_uri: https://vault.example:8200/v1/team/transit/keys/sops
    age: ${AGE}, ssh-ed25519 AAAA
stores:
  yaml: { indent: 2 }
  json: { indent: 0 }
`,
    'flat.yaml',
  )
  assert.deepEqual(
    rule?.groups[0]?.map(({ type, names }) => [type, names]),
    [
      ['kms', { arn: ARN, role: 'arn:aws:iam::656532927350:role/sops', aws_profile: 'team' }],
      ['kms', { arn: `${ARN}2`, aws_profile: 'team' }],
      ['gcp_kms', { resource_id: 'projects/a/locations/global/keyRings/b/cryptoKeys/c' }],
      ['azure_kv', { vault_url: 'https://team.vault.azure.net', name: 'sops', version: 'abc' }],
      ['azure_kv', { vault_url: 'https://team.vault.azure.net', name: 'sops', version: '' }],
      [
        'hc_vault',
        {
          vault_address: 'https://vault.example:8200',
          engine_path: 'team/transit',
          key_name: 'sops',
        },
      ],
      ['pgp', { fp: FP }],
      ['age', { recipient: AGE }],
      ['age', { recipient: 'ssh-ed25519 AAAA' }],
    ],
  )
  assert.deepEqual(rule.indents, { yaml: 2, json: 0, binary: null })
})

test('groups merge others; a key that stands twice is one', () => {
  const rule = creationRule(
    `creation_rules:
  - key_groups:
      - merge:
          - age: [${AGE}]
            merge: [{ pgp: [${FP}] }]
          - kms: [{ arn: ${ARN}, role: 'arn:aws:iam::1:role/x', context: { app: shop }, aws_profile: p }]
        age: [${AGE}]
      - hc_vault: ['http://127.0.0.1:8200/v1/transit/keys/k']
        azure_keyvault: [{ vaultUrl: 'https://t.vault.azure.net/', key: k, version: '' }]
    shamir_threshold: 2
`,
    'any.yaml',
  )
  assert.equal(rule?.threshold, 2)
  assert.deepEqual(
    rule.groups.map((group) => group.map(({ type }) => type)),
    [
      ['pgp', 'age', 'kms'],
      ['azure_kv', 'hc_vault'],
    ],
  )
  assert.deepEqual(rule.groups[0]?.[2]?.names, {
    arn: ARN,
    role: 'arn:aws:iam::1:role/x',
    context: { app: 'shop' },
    aws_profile: 'p',
  })
})

test('what names no key is an error of the rules', () => {
  const bad = [
    'kms: x',
    'pgp: "--output=x"',
    'hc_vault_transit_uri: https://x/keys/y',
    'azure_keyvault: http://x/keys/y',
  ]
  for (const line of bad) {
    assert.throws(() => creationRule(`creation_rules:\n  - ${line}\n`, 'a'), {
      code: 'INVALID_RULES',
      message: /creation_rules\[0\]\.\w+: .*names no key/,
    })
  }
  assert.throws(
    () => creationRule('creation_rules: [{}]\nstores: { yaml: { indent: -3 } }\n', 'a'),
    {
      code: 'INVALID_RULES',
    },
  )
})
