import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { readServerSettings } from './settings-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'fairway-settings-'))
after(() => rmSync(folder, { recursive: true, force: true }))

test('files that variables lead to come along, their paths relative to the file that names them', () => {
  mkdirSync(join(folder, 'prod'))
  writeFileSync(join(folder, 'prod/secret'), 'planted\n')
  writeFileSync(
    join(folder, 'prod/server.env'),
    '# login\nFAIRWAY_OIDC_ISSUER=https://login.example\nFAIRWAY_OIDC_CLIENT_SECRET_FILE=secret\n',
  )
  assert.deepEqual(readServerSettings('prod/server.env', folder), {
    variables: { FAIRWAY_OIDC_ISSUER: 'https://login.example' },
    files: { FAIRWAY_OIDC_CLIENT_SECRET_FILE: 'planted\n' },
  })
})

test('a file that is not there is told by the variable that leads to it', () => {
  assert.throws(() => readServerSettings('none.env', folder), /none\.env: .*\(ENOENT\)/)
  writeFileSync(join(folder, 'a.env'), 'NODE_EXTRA_CA_CERTS=ca.pem\n')
  assert.throws(
    () => readServerSettings('a.env', folder),
    /NODE_EXTRA_CA_CERTS: the file cannot be read \(ENOENT\)/,
  )
})
