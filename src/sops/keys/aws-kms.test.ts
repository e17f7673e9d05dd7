import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
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
