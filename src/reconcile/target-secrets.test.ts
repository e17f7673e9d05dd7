import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryAudit } from '../../test/fakes/memory-audit.ts'
import { FairwayError } from '../model/errors.ts'
import type { InstanceClaim } from '../model/instance-secrets.ts'
import {
  parseAppName,
  parseEnvironmentName,
  parseProcessName,
  parseTargetName,
} from '../model/names.ts'
import { Secret, type SecretPlan } from '../model/secrets.ts'
import { TargetSecrets } from './target-secrets.ts'

const PROD = parseTargetName('prod')
const CLAIM: InstanceClaim = {
  ref: { app: parseAppName('shop'), environment: parseEnvironmentName('production') },
  process: parseProcessName('web'),
  release: 3,
  instance: 'web-a-1',
  plan: {
    documents: [{ path: 'secrets.yaml', text: 'encrypted' }],
    env: { KEY: { kind: 'secret', name: 'KEY' } },
  },
}

function bed(
  identify: () => Promise<InstanceClaim>,
  open: () => Promise<void> = () => Promise.resolve(),
) {
  const audit = new MemoryAudit()
  const plans: SecretPlan[] = []
  const files = new Map([['KEY', Secret.of('planted')]])
  const secrets = new TargetSecrets({
    instances: (target) =>
      target === PROD
        ? Promise.resolve({ identify })
        : Promise.reject(new FairwayError('NOT_FOUND', `there is no target ${target}`)),
    secrets: {
      open: async (_, plan) => {
        plans.push(plan)
        await open()
        return { folders: [{ name: 'secrets', files }], env: new Map() }
      },
    },
    audit,
  })
  const ask = (target = PROD) => secrets.open(target, 'token', AbortSignal.timeout(5_000))
  return { audit, plans, ask }
}

test('an instance gets the files of its plan, and that is recorded with who it is and no value', async () => {
  const { audit, plans, ask } = bed(() => Promise.resolve(CLAIM))
  const { folders } = await ask()
  assert.deepEqual([...(folders[0]?.files.keys() ?? [])], ['KEY'])
  assert.deepEqual(plans, [{ documents: CLAIM.plan.documents, env: {} }])
  assert.deepEqual(audit.events, [
    {
      actor: { kind: 'system', id: null, name: 'fairway' },
      action: 'secret:opened',
      outcome: 'done',
      app: 'shop',
      environment: 'production',
      target: 'target prod',
      reason: null,
      facts: { instance: 'web-a-1', process: 'web', release: 3, files: 'secrets.yaml' },
    },
  ])
})

test('what cannot be recorded is not given', async () => {
  const { audit, ask } = bed(() => Promise.resolve(CLAIM))
  audit.broken = true
  await assert.rejects(ask(), { code: 'AUDIT_UNAVAILABLE' })
})

test('a refusal is a record of nobody, and a cluster that there is not looks like a wrong token', async () => {
  const foreign = new FairwayError('FORBIDDEN', 'the pod is none of this server’s')
  const { audit, plans, ask } = bed(() => Promise.reject(foreign))
  await assert.rejects(ask(), { code: 'FORBIDDEN' })
  await assert.rejects(ask(parseTargetName('other')), {
    code: 'UNAUTHENTICATED',
    message: 'the token is none for this server and cluster, or expired',
  })
  assert.deepEqual(
    audit.events.map(({ actor, outcome, reason }) => [actor.kind, outcome, reason]),
    [
      ['nobody', 'denied', 'the pod is none of this server’s'],
      ['nobody', 'denied', 'the token is none for this server and cluster, or expired'],
    ],
  )
  assert.deepEqual(plans, [])
})

test('files that do not open are a failure of that instance', async () => {
  const closed = new FairwayError('SECRETS_CLOSED', 'its key is no recipient')
  const { audit, ask } = bed(
    () => Promise.resolve(CLAIM),
    () => Promise.reject(closed),
  )
  await assert.rejects(ask(), { code: 'SECRETS_CLOSED' })
  const [event] = audit.events
  assert.deepEqual(
    [event?.outcome, event?.reason, event?.app],
    ['failed', 'SECRETS_CLOSED', 'shop'],
  )
})
