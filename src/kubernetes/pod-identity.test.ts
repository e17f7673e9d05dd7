import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  appOf,
  IMAGE,
  SHOP,
  specOf,
  trackOf,
  WEB,
  workloadOf,
} from '../../test/fakes/cluster-plan.ts'
import type { JobRequest } from '../model/engine.ts'
import { FairwayError } from '../model/errors.ts'
import type { InstanceNeed } from '../model/instance-secrets.ts'
import type { SecretPlan } from '../model/secrets.ts'
import type { Json } from './json-value.ts'
import { PodIdentity } from './pod-identity.ts'

const AUDIENCE = 'test.prod.secrets'
const OTHER_AUDIENCE = 'test.prod.identities'
const PLAN: SecretPlan = { documents: [{ path: 's.yaml', text: 'x' }], env: {} }
const JOB: JobRequest = {
  ref: SHOP,
  spec: specOf(appOf(workloadOf({}, [trackOf({})]))),
  process: WEB,
  release: 4,
  image: IMAGE,
  argv: ['migrate'],
  env: {},
  secrets: PLAN,
  timeoutMs: 60_000,
  key: 'release-4',
}

const LABELS = {
  'app.kubernetes.io/managed-by': 'fairway',
  'fairway/owner': 'test',
  'fairway/app': 'shop',
  'fairway/environment': 'production',
  'fairway/process': 'web',
  'fairway/release': '3',
  'fairway/kind': 'service',
}
const ACCOUNT = 'system:serviceaccount:shop--production:web'

interface Case {
  readonly aud?: unknown
  readonly authenticated?: boolean
  readonly audiences?: readonly string[]
  readonly username?: string
  readonly extra?: Json
  readonly labels?: Json
  readonly metadata?: Json
  readonly spec?: Json
  readonly status?: Json
  readonly gone?: boolean
  readonly job?: JobRequest
  readonly need?: InstanceNeed
}

/** The API server is scripted: what it answers for forged, foreign and old tokens is seen on a real one in test/e2e/secrets-kubernetes. */
async function identify(given: Case): Promise<unknown> {
  const pod: Json = {
    metadata: { name: 'web-a-1', uid: 'u1', labels: given.labels ?? LABELS, ...given.metadata },
    spec: { serviceAccountName: 'web', ...given.spec },
    status: { phase: 'Pending', ...given.status },
  }
  const status = {
    authenticated: given.authenticated ?? true,
    audiences: given.audiences ?? [AUDIENCE],
    user: {
      username: given.username ?? ACCOUNT,
      extra: given.extra ?? {
        'authentication.kubernetes.io/pod-name': ['web-a-1'],
        'authentication.kubernetes.io/pod-uid': ['u1'],
      },
    },
  }
  const identity = new PodIdentity({
    client: {
      create: () => Promise.resolve({ status }),
      get: () => Promise.resolve(given.gone === true ? null : pod),
    },
    owner: 'test',
    audiences: { secrets: AUDIENCE, identity: OTHER_AUDIENCE },
    job: (_, name) => (name === 'run-1' ? (given.job ?? null) : null),
  })
  const claims = Buffer.from(JSON.stringify({ aud: given.aud ?? [AUDIENCE] }))
  const token = `e30.${claims.toString('base64url')}.c2ln`
  return identity.identify(token, given.need ?? 'secrets', AbortSignal.timeout(5_000))
}

test('a pod that has yet to begin is who it says', async () => {
  assert.deepEqual(await identify({}), {
    ref: SHOP,
    process: 'web',
    release: 3,
    instance: 'web-a-1',
    run: null,
  })
})

test('a release command is known while this server waits for it, by its own release', async () => {
  const labels = {
    ...LABELS,
    'fairway/kind': 'job',
    'fairway/job': 'run-1',
    'fairway/release': '4',
  }
  const claim = await identify({ labels, job: JOB })
  assert.deepEqual(claim, { ref: SHOP, process: 'web', release: 4, instance: 'web-a-1', run: JOB })
  await assert.rejects(identify({ labels }), { code: 'NOT_FOUND' })
  await assert.rejects(identify({ labels: { ...labels, 'fairway/release': '3' }, job: JOB }), {
    code: 'NOT_FOUND',
  })
})

test('who it is can be asked as long as it lives, also while it leaves, and with a token for that alone', async () => {
  const leaving = {
    need: 'identity',
    aud: [OTHER_AUDIENCE],
    audiences: [OTHER_AUDIENCE],
    metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' },
    status: {
      phase: 'Running',
      initContainerStatuses: [{ name: 'secrets', state: { terminated: { exitCode: 0 } } }],
    },
  } as const
  assert.deepEqual(await identify(leaving), {
    ref: SHOP,
    process: 'web',
    release: 3,
    instance: 'web-a-1',
    run: null,
  })
  await assert.rejects(identify({ ...leaving, status: { phase: 'Succeeded' } }), {
    code: 'FORBIDDEN',
  })
  await assert.rejects(identify({ need: 'identity' }), { code: 'UNAUTHENTICATED' })
  await assert.rejects(identify({ ...leaving, need: 'secrets' }), { code: 'UNAUTHENTICATED' })
})

test('a pod that asks without end keeps itself from being answered, and others from nothing', async () => {
  const gate = Promise.withResolvers<undefined>()
  const identity = new PodIdentity({
    client: {
      create: async () => {
        await gate.promise
        return { status: { authenticated: false } }
      },
      get: () => Promise.resolve(null),
    },
    owner: 'test',
    audiences: { secrets: AUDIENCE, identity: OTHER_AUDIENCE },
    job: () => null,
  })
  const ask = async (need: InstanceNeed, uid: string): Promise<unknown> => {
    const aud = [need === 'secrets' ? AUDIENCE : OTHER_AUDIENCE]
    const claims = Buffer.from(JSON.stringify({ aud, 'kubernetes.io': { pod: { uid } } }))
    const token = `e30.${claims.toString('base64url')}.c2ln`
    return identity.identify(token, need, AbortSignal.timeout(5_000)).catch((error: unknown) => {
      assert.ok(error instanceof FairwayError)
      return error.code
    })
  }
  const greedy = Array.from({ length: 40 }, () => ask('identity', 'greedy'))
  const others = [ask('identity', 'other'), ask('secrets', 'greedy'), ask('secrets', 'other')]
  gate.resolve(undefined)
  const codes = await Promise.all(greedy)
  assert.equal(codes.filter((code) => code === 'RUNNER_UNAVAILABLE').length, 36)
  const unknown = 'UNAUTHENTICATED'
  assert.deepEqual(await Promise.all(others), [unknown, unknown, unknown])
  assert.equal(await ask('identity', 'greedy'), unknown, 'and it can ask again')
})

const REFUSED: readonly (readonly [string, Case, string])[] = [
  ['made for somebody else', { aud: ['other'] }, 'UNAUTHENTICATED'],
  ['without a list of audiences', { aud: AUDIENCE }, 'UNAUTHENTICATED'],
  ['that the cluster does not know or that expired', { authenticated: false }, 'UNAUTHENTICATED'],
  ['that the cluster takes for another audience', { audiences: ['other'] }, 'UNAUTHENTICATED'],
  ['of a person', { username: 'ann' }, 'FORBIDDEN'],
  ['bound to no pod', { extra: {} }, 'FORBIDDEN'],
  [
    'bound to two pods',
    {
      extra: {
        'authentication.kubernetes.io/pod-name': ['web-a-1', 'b'],
        'authentication.kubernetes.io/pod-uid': ['u1'],
      },
    },
    'FORBIDDEN',
  ],
  ['of a pod that is gone', { gone: true }, 'FORBIDDEN'],
  ['of a pod before this one of the same name', { metadata: { uid: 'u2' } }, 'FORBIDDEN'],
  ['of another account', { spec: { serviceAccountName: 'other' } }, 'FORBIDDEN'],
  [
    'of another namespace with our labels',
    { username: 'system:serviceaccount:theirs:web' },
    'FORBIDDEN',
  ],
  ['of another server’s pod', { labels: { ...LABELS, 'fairway/owner': 'other' } }, 'FORBIDDEN'],
  ['of a pod that nobody labelled', { labels: {} }, 'FORBIDDEN'],
  ['of another process', { labels: { ...LABELS, 'fairway/process': 'worker' } }, 'FORBIDDEN'],
  [
    'of a pod that leaves',
    { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } },
    'FORBIDDEN',
  ],
  ['of a pod that has ended', { status: { phase: 'Failed' } }, 'FORBIDDEN'],
  [
    'of a pod that has its values',
    {
      status: {
        phase: 'Running',
        initContainerStatuses: [{ name: 'secrets', state: { terminated: { exitCode: 0 } } }],
      },
    },
    'NOT_FOUND',
  ],
  ['of a run that nobody waits for', { labels: { ...LABELS, 'fairway/kind': 'job' } }, 'NOT_FOUND'],
]

describe('refused is a token', () => {
  for (const [what, given, code] of REFUSED)
    test(what, async () => {
      await assert.rejects(
        identify(given),
        (error) => error instanceof FairwayError && error.code === code,
      )
    })
})
