import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryAudit } from '../../test/fakes/memory-audit.ts'
import { noSecrets } from '../../test/fakes/no-secrets.ts'
import { FairwayError } from '../model/errors.ts'
import { parseAppName, parseEnvironmentName } from '../model/names.ts'
import { auditedSecrets } from './audited-secrets.ts'

const ref = { app: parseAppName('shop'), environment: parseEnvironmentName('production') }
const plan = {
  documents: [{ path: 'secrets.yaml', text: 'A: ENC[…]' }],
  env: { DB: { kind: 'vault' as const, path: 'secret/shop/db', key: 'password' } },
}

test('every opening of secrets for an instance is in the audit, with how it ended', async () => {
  const audit = new MemoryAudit()
  await auditedSecrets(noSecrets, audit).open(ref, plan)
  const closed = auditedSecrets(
    {
      ...noSecrets,
      open: () => Promise.reject(new FairwayError('SECRETS_CLOSED', 'cannot be opened')),
    },
    audit,
  )
  await assert.rejects(closed.open(ref, plan), { code: 'SECRETS_CLOSED' })
  assert.deepEqual(
    audit.events.map(({ action, outcome, app, target, reason }) => [
      action,
      outcome,
      app,
      target,
      reason,
    ]),
    [
      ['secret:opened', 'done', 'shop', 'secrets.yaml, vault secret/shop/db', null],
      ['secret:opened', 'failed', 'shop', 'secrets.yaml, vault secret/shop/db', 'SECRETS_CLOSED'],
    ],
  )
})
