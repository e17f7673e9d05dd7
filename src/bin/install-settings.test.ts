import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkedSettings } from './install-settings.ts'

const LOGIN = { FAIRWAY_OIDC_ISSUER: 'https://login.example', FAIRWAY_OIDC_CLIENT_ID: 'fairway' }

test('login, Vault and keys of environments are passed on', () => {
  const settings = {
    variables: {
      ...LOGIN,
      FAIRWAY_VAULT_ADDR: 'https://vault.example:8200',
      FAIRWAY_VAULT_AUTH: 'token',
      FAIRWAY_SECRETS_KEYS: 'shop/*=arn:aws:kms:eu-west-1:111122223333:key/a',
      AWS_ACCESS_KEY_ID: 'id',
    },
    files: { FAIRWAY_VAULT_TOKEN_FILE: 'planted', FAIRWAY_OIDC_CLIENT_SECRET_FILE: 'planted' },
  }
  assert.deepEqual(checkedSettings(settings), settings)
})

test('what the install itself decides, and what is no setting, is refused by its name', () => {
  const variables = { FAIRWAY_API_PORT: '1', PATH: '/planted', ...LOGIN }
  const files = { FAIRWAY_ACCESS_KEY: 'planted' }
  assert.throws(
    () => checkedSettings({ variables, files }),
    /does not pass on FAIRWAY_API_PORT, PATH, FAIRWAY_ACCESS_KEY/,
  )
})

test('what a server would refuse at its start is refused before, without its value', () => {
  const wrong = (variables: Record<string, string>, what: RegExp): void =>
    assert.throws(
      () => checkedSettings({ variables, files: {} }),
      (error: unknown) =>
        error instanceof Error && what.test(error.message) && !error.message.includes('planted'),
    )
  wrong({ ...LOGIN, FAIRWAY_OIDC_ISSUER: 'planted' }, /FAIRWAY_OIDC_ISSUER: expected/)
  wrong({ FAIRWAY_OIDC_ISSUER: 'https://login.example' }, /FAIRWAY_OIDC_CLIENT_ID/)
  wrong({ FAIRWAY_VAULT_AUTH: 'approle', FAIRWAY_VAULT_ROLE: 'planted' }, /SECRET_ID_FILE/)
})
