import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { awsService } from '../../../test/fakes/key-services.ts'
import { awsKmsKind } from './aws-kms.ts'
import { signedHeaders } from './aws-signature.ts'
import type { KeySurroundings } from './key-kind.ts'

const ARN = 'arn:aws:kms:eu-west-1:123456789012:key/0123-abcd'
const users = new Map([['AKIDOWN', { secret: 'own/secret', token: null }]])
const service = awsService(users)
const url = await service.start()
after(() => service.close())

function surroundings(env: Readonly<Record<string, string>> = {}): KeySurroundings {
  return {
    env: {
      AWS_ENDPOINT_URL: url,
      AWS_ACCESS_KEY_ID: 'AKIDOWN',
      AWS_SECRET_ACCESS_KEY: 'own/secret',
      ...env,
    },
    home: '/nonexistent',
    fetch,
    now: Date.now,
  }
}

test('the signature is that of the published example (post-vanilla)', () => {
  const headers = signedHeaders(
    {
      url: 'https://example.amazonaws.com/',
      headers: {},
      body: '',
      service: 'service',
      region: 'us-east-1',
    },
    {
      accessKeyId: 'AKIDEXAMPLE',
      secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
      sessionToken: null,
    },
    Date.UTC(2015, 7, 30, 12, 36, 0),
  )
  assert.match(
    headers['authorization'] ?? '',
    /Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b$/,
  )
})

test('wraps and opens, with context and through a role', async () => {
  const kind = awsKmsKind(surroundings())
  const bytes = randomBytes(32)
  const context = { app: 'shop', env: 'production' }
  for (const names of [
    { arn: ARN, aws_profile: '' },
    { arn: ARN, context },
    { arn: ARN, context, role: 'arn:aws:iam::123456789012:role/reader' },
  ]) {
    const wrapped = { ...names, ...(await kind.wrap(names, bytes)) }
    assert.deepEqual(await kind.unwrap(wrapped), bytes)
  }
  const wrapped = { arn: ARN, context, ...(await kind.wrap({ arn: ARN, context }, bytes)) }
  await assert.rejects(kind.unwrap({ ...wrapped, context: { app: 'other' } }), {
    code: 'KEY_FAILED',
    message: /not of this key/,
  })
  assert.equal(
    service.seen.filter(({ body }) => body.includes('Action=AssumeRole')).length,
    2,
    'a role is assumed for each',
  )
})

test('profiles have keys, or a role that another profile takes on; what they ask for beside that is named', async () => {
  const home = await mkdtemp(join(tmpdir(), 'fairway-aws-'))
  try {
    await mkdir(join(home, '.aws'))
    const files = {
      credentials: '[team]\naws_access_key_id = AKIDOWN\naws_secret_access_key = own/secret\n',
      config: `[profile reader]
role_arn = arn:aws:iam::123456789012:role/reader
source_profile = team
external_id = 4711
[profile further]
role_arn = arn:aws:iam::123456789012:role/further
source_profile = reader
[profile person]
sso_session = company
[profile strict]
role_arn = arn:aws:iam::123456789012:role/strict
source_profile = team
mfa_serial = arn:aws:iam::123456789012:mfa/me
[profile ring]
role_arn = arn:aws:iam::123456789012:role/ring
source_profile = ring2
[profile ring2]
role_arn = arn:aws:iam::123456789012:role/ring
source_profile = ring
`,
    }
    for (const [name, text] of Object.entries(files))
      await writeFile(join(home, '.aws', name), text)
    const kind = awsKmsKind({ ...surroundings({ AWS_ACCESS_KEY_ID: '' }), home })
    const bytes = randomBytes(32)
    const began = service.seen.length
    for (const aws_profile of ['team', 'reader', 'further']) {
      const wrapped = await kind.wrap({ arn: ARN, aws_profile }, bytes)
      assert.deepEqual(await kind.unwrap({ arn: ARN, aws_profile, ...wrapped }), bytes)
    }
    const roles = service.seen.slice(began).flatMap(({ body }) => {
      const form = new URLSearchParams(body)
      return form.get('Action') === 'AssumeRole'
        ? [`${form.get('RoleArn')?.split('/')[1] ?? ''} ${form.get('ExternalId') ?? '-'}`]
        : []
    })
    assert.deepEqual(roles.slice(0, 4), ['reader 4711', 'reader 4711', 'reader 4711', 'further -'])
    for (const [aws_profile, message] of [
      ['person', /the profile "person" of ~\/\.aws has sso_session, which is not supported here/],
      ['strict', /the profile "strict" of ~\/\.aws has mfa_serial/],
      ['ring', /source_profile "ring", which has none/],
      ['absent', /no AWS credentials .*"absent"/],
    ] as const) {
      await assert.rejects(kind.unwrap({ arn: ARN, aws_profile, enc: 'AAAA' }), {
        code: 'KEY_FAILED',
        message,
      })
    }
  } finally {
    await rm(home, { recursive: true, force: true })
  }
})

test('other secrets, other regions in the ARN and a service that is away are refused', async () => {
  const wrong = awsKmsKind(surroundings({ AWS_SECRET_ACCESS_KEY: 'wrong' }))
  await assert.rejects(wrong.wrap({ arn: ARN }, Buffer.alloc(32)), {
    code: 'KEY_FAILED',
    message: /403: the request signature does not match/,
  })
  const kind = awsKmsKind(surroundings())
  const evil = 'arn:aws:kms:evil.example/#:123456789012:key/x'
  await assert.rejects(kind.unwrap({ arn: evil, enc: 'AAAA' }), { code: 'INVALID_KEY' })
  const away = awsKmsKind(surroundings({ AWS_ENDPOINT_URL_KMS: 'http://127.0.0.1:9' }))
  await assert.rejects(away.unwrap({ arn: ARN, enc: 'AAAA' }), {
    code: 'KEY_FAILED',
    message: /cannot be reached/,
  })
  const none = awsKmsKind(surroundings({ AWS_ACCESS_KEY_ID: '' }))
  await assert.rejects(none.unwrap({ arn: ARN, enc: 'AAAA' }), {
    code: 'KEY_FAILED',
    message: /no AWS credentials/,
  })
})
