import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAppName, parseEnvironmentName } from '../model/names.ts'
import type { RolloutEvent } from '../model/platform.ts'
import type { Rollout } from '../model/release.ts'
import { withEnd, withStepBegun, withStepEnded } from './rollout.ts'
import { RolloutFeed } from './rollout-feed.ts'

const queued: Rollout = {
  id: '1',
  ref: { app: parseAppName('shop'), environment: parseEnvironmentName('production') },
  release: null,
  previous: null,
  request: { kind: 'rollback', to: 1 },
  status: 'queued',
  steps: [],
  share: 0,
  failure: null,
  createdAt: 1,
  endedAt: null,
  createdBy: 'ci',
  approval: null,
}

async function readAll(feed: RolloutFeed, rollout: Rollout): Promise<readonly string[]> {
  const seen: string[] = []
  for await (const event of feed.read(rollout, [], AbortSignal.timeout(5_000)))
    seen.push(name(event))
  return seen
}

function name(event: RolloutEvent): string {
  return event.type === 'step' ? `${event.step.name} ${event.step.status}` : event.type
}

test('readers that come early, late and after the end all see everything, in order', async () => {
  const feed = new RolloutFeed()
  const early = readAll(feed, queued)
  const begun = withStepBegun(queued, 'start', 2)
  const [running] = begun.steps
  assert.ok(running)
  feed.step(begun, running, 2)
  const late = readAll(feed, begun)
  feed.output(begun, 'a line', 3)
  const ended = withStepEnded(begun, 'start', { status: 'done', summary: '', now: 4 })
  const [done] = ended.steps
  assert.ok(done)
  feed.step(ended, done, 4)
  feed.end(withEnd(ended, 'succeeded', 5), [], 5)
  const expected = ['start running', 'output', 'start done', 'end']
  assert.deepEqual(await early, expected)
  assert.deepEqual(await late, expected)
  assert.deepEqual(await readAll(feed, ended), expected)
})

test('a rollout of an earlier life of the server is told from its record', async () => {
  const record = withEnd(
    withStepEnded(withStepBegun(queued, 'start', 2), 'start', {
      status: 'done',
      summary: '',
      now: 3,
    }),
    'failed',
    4,
  )
  assert.deepEqual(await readAll(new RolloutFeed(), record), ['start done', 'end'])
})

test('a slow reader loses only what was dropped, and still gets the end', async () => {
  const feed = new RolloutFeed()
  for (let line = 0; line < 5_000; line++) feed.output(queued, String(line), line)
  feed.end(withEnd(queued, 'succeeded', 1), [], 1)
  const seen = await readAll(feed, queued)
  assert.equal(seen.at(-1), 'end')
  assert.ok(seen.length <= 2_000)
})
