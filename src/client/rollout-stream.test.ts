import assert from 'node:assert/strict'
import { test } from 'node:test'
import { problemBody, scriptedServer, type Script } from '../../test/fakes/scripted-server.ts'
import { ClientError } from './client-error.ts'
import { FairwayClient } from './fairway-client.ts'
import { followRollout } from './rollout-stream.ts'

const REF = { app: 'shop', environment: 'production' }
const DEPLOYS = 'POST /v1/apps/shop/production/rollback'
const EVENTS = 'GET /v1/apps/shop/production/rollouts/r1/events'
const ROLLOUT = {
  id: 'r1',
  ref: REF,
  release: 1,
  previous: null,
  request: { kind: 'rollback', to: 1 },
  status: 'succeeded',
  steps: [],
  failure: null,
  createdAt: 1,
  endedAt: 1,
  createdBy: 'ada',
  approval: null,
}
const FIRST = { type: 'rollout', rollout: ROLLOUT }
const END = { type: 'end', at: 9, rollout: ROLLOUT, urls: [] }
const output = (at: number, text: string) => ({ type: 'output', at, text })
const step = (status: string) => ({
  type: 'step',
  at: 1,
  step: { name: 'bake', status, startedAt: 1, endedAt: null, summary: '' },
})

async function followed(scripts: Readonly<Record<string, readonly Script[]>>, patienceMs = 5000) {
  const server = await scriptedServer(scripts)
  const client = new FairwayClient({ server: server.url, token: 'x' })
  const { signal } = new AbortController()
  const got: string[] = []
  let lost = 0
  try {
    const first = client.rollbackApp(REF, 1, signal)
    const options = {
      signal,
      patienceMs,
      sleep: () => Promise.resolve(),
      onLost: () => (lost += 1),
    }
    for await (const event of followRollout(client, REF, first, options)) {
      got.push(event.type === 'output' ? event.text : event.type)
    }
  } finally {
    client.close()
    await server.close()
  }
  return { got, lost, asked: server.seen.map(({ method }) => method) }
}

test('a stream that ends well is passed through as it is, equal lines too', async () => {
  const lines = [FIRST, step('running'), output(1, 'a'), output(1, 'a'), step('done'), END]
  const { got, lost } = await followed({ [DEPLOYS]: [{ lines }] })
  assert.deepEqual(got, ['rollout', 'step', 'a', 'a', 'step', 'end'])
  assert.equal(lost, 0)
})

test('a lost stream is picked up by its id, and only what is new is passed on', async () => {
  const before = [step('running'), output(1, 'a'), output(2, 'b')]
  const { got, lost, asked } = await followed({
    [DEPLOYS]: [{ lines: [FIRST, ...before], cut: true }],
    [EVENTS]: [
      { lines: [step('running')], cut: true },
      { lines: [...before, output(3, 'c'), step('done'), END] },
    ],
  })
  assert.deepEqual(got, ['rollout', 'step', 'a', 'b', 'c', 'step', 'end'])
  assert.ok(lost >= 1)
  assert.deepEqual(asked, ['POST', 'GET', 'GET'])
})

test('a stream that ends without its last event is a lost one', async () => {
  const { got } = await followed({ [DEPLOYS]: [{ lines: [FIRST] }], [EVENTS]: [{ lines: [END] }] })
  assert.deepEqual(got, ['rollout', 'end'])
})

test('what was never accepted is not asked for again', async () => {
  await assert.rejects(followed({ [DEPLOYS]: [{ lines: [], cut: true }] }), unreachable)
})

test('patience ends', async () => {
  const scripts = { [DEPLOYS]: [{ lines: [FIRST] }], [EVENTS]: [{ lines: [], cut: true }] }
  await assert.rejects(followed(scripts, 1500), unreachable)
})

test('a refusal is no loss', async () => {
  const json = problemBody('FORBIDDEN', 'no more')
  const scripts = { [DEPLOYS]: [{ lines: [FIRST] }], [EVENTS]: [{ status: 403, json }] }
  await assert.rejects(
    followed(scripts),
    (error: unknown) => error instanceof ClientError && error.code === 'FORBIDDEN',
  )
})

function unreachable(error: unknown): boolean {
  return error instanceof ClientError && error.code === 'SERVER_UNREACHABLE'
}
