import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { MetadataServer } from '../../test/fakes/metadata-server.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import type { Notice } from '../model/notices.ts'
import { AwsNotices } from './aws-notices.ts'

const server = new MetadataServer()
before(() => server.listen())
after(() => server.close())

const source = (baseUrl = server.url): AwsNotices =>
  new AwsNotices({
    node: 'node1',
    baseUrl,
    fetch,
    clock: systemClock,
    log: silentLog,
    everyMs: 10,
  })

test(
  'notices come, change and go; a forgotten token is no obstacle',
  { timeout: 20_000 },
  async () => {
    const ended = new AbortController()
    const found = source().notices(ended.signal)
    const next = async (): Promise<readonly Notice[]> => {
      const step: IteratorResult<readonly Notice[], unknown> = await found.next()
      return step.done === true ? [] : step.value
    }
    assert.deepEqual(await next(), [])
    server.metadata.rebalance = { noticeTime: '2026-01-02T08:00:00Z' }
    assert.deepEqual(await next(), [
      { node: 'node1', kind: 'rebalance', at: Date.UTC(2026, 0, 2, 8), deadline: null },
    ])
    server.forgetToken()
    server.metadata.spot = { action: 'terminate', time: '2026-01-02T08:22:00Z' }
    const deadline = Date.UTC(2026, 0, 2, 8, 22)
    assert.deepEqual((await next())[0], {
      node: 'node1',
      kind: 'terminate',
      at: deadline - 120_000,
      deadline,
    })
    assert.ok(server.refused > 0)
    delete server.metadata.spot
    delete server.metadata.rebalance
    assert.deepEqual(await next(), [])
    ended.abort()
    assert.equal((await found.next()).done, true)
  },
)

test('scheduled events count while they are active', { timeout: 20_000 }, async () => {
  const event = { Code: 'system-reboot', EventId: 'instance-event-1', NotAfter: '' }
  const NotBefore = '21 Jan 2026 09:00:43 GMT'
  server.metadata.scheduled = [
    { ...event, NotBefore, State: 'active' },
    { ...event, NotBefore, State: 'canceled' },
    { ...event, NotBefore: 'soon', State: 'active' },
  ]
  const ended = new AbortController()
  for await (const found of source().notices(ended.signal)) {
    const deadline = Date.UTC(2026, 0, 21, 9, 0, 43)
    assert.deepEqual(found, [{ node: 'node1', kind: 'scheduled', at: deadline, deadline }])
    break
  }
  ended.abort()
  server.metadata.scheduled = []
})

test('a service that is not there says nothing and ends nothing', { timeout: 20_000 }, async () => {
  const warned: string[] = []
  const log = { ...silentLog, warn: (_: object, message: string) => void warned.push(message) }
  const ended = new AbortController()
  const sleep = (): Promise<void> => {
    if (warned.length > 0) ended.abort()
    return Promise.resolve()
  }
  const away = new AwsNotices({
    node: 'node1',
    baseUrl: 'http://127.0.0.1:1',
    fetch,
    clock: { ...systemClock, sleep },
    log,
  })
  for await (const found of away.notices(ended.signal)) assert.fail(JSON.stringify(found))
  assert.deepEqual(warned, ['the metadata service does not answer'])
})
