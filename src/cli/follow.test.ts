import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { TestIo, testPrograms } from '../../test/fakes/cli-io.ts'
import { scriptedServer, type Script } from '../../test/fakes/scripted-server.ts'
import { main } from './main.ts'

const home = mkdtempSync(join(tmpdir(), 'fairway-follow-'))
after(() => {
  rmSync(home, { recursive: true, force: true })
})

const ROLLBACK = 'POST /v1/apps/shop/production/rollback'
const EVENTS = 'GET /v1/apps/shop/production/rollouts/r9/events'
const bake = step('bake', 'done', 120, '3 layers, 1 new, 12 kB')

function rollout(changes: Readonly<Record<string, unknown>> = {}) {
  return {
    id: 'r9',
    ref: { app: 'shop', environment: 'production' },
    release: 4,
    previous: 3,
    request: { kind: 'rollback', to: 3 },
    status: 'succeeded',
    steps: [],
    failure: null,
    createdAt: 1,
    endedAt: null,
    createdBy: 'ada',
    approval: null,
    ...changes,
  }
}

function step(name: string, status: string, ms: number, summary: string) {
  const endedAt = status === 'running' ? null : 1000 + ms
  return { type: 'step', at: 1, step: { name, status, startedAt: 1000, endedAt, summary } }
}

const FIRST = { type: 'rollout', rollout: rollout({ status: 'running' }) }
const end = (changes: Readonly<Record<string, unknown>> = {}) => ({
  type: 'end',
  at: 2,
  rollout: rollout(changes),
  urls: ['http://shop.localhost:8080'],
})
const output = (text: string) => ({ type: 'output', at: 1, text })

async function rollback(
  scripts: Readonly<Record<string, readonly Script[]>>,
  options: { readonly isTTY?: boolean; readonly line?: string; readonly interrupt?: RegExp } = {},
) {
  const server = await scriptedServer(scripts)
  const env = { FAIRWAY_SERVER: server.url, FAIRWAY_TOKEN: 'x' }
  const io = new TestIo({ home, env, isTTY: options.isTTY ?? false })
  try {
    const argv = (options.line ?? 'rollback --app shop').split(' ')
    const running = main(argv, io, testPrograms())
    if (options.interrupt !== undefined) {
      while (!options.interrupt.test(io.out)) await new Promise(setImmediate)
      io.interrupt()
    }
    return { code: await running, out: io.out, err: io.err, left: io.listeners }
  } finally {
    await server.close()
  }
}

test('in a pipe: plain lines as they happen, then the URL', async () => {
  const lines = [
    FIRST,
    step('bake', 'running', 0, ''),
    output('added \x1b[31m2\x1b[0m packages\x1b[2J'),
    bake,
    step('gate', 'skipped', 0, ''),
    step('start', 'done', 12_300, '2 of 2 ready'),
    end(),
  ]
  const { code, out, err } = await rollback({ [ROLLBACK]: [{ lines }] })
  assert.equal(code, 0)
  assert.equal(err, '')
  assert.equal(
    out.replace(/after .*/, 'after T'),
    [
      '  added 2 packages',
      '✓ bake      0.12 s  3 layers, 1 new, 12 kB',
      '✓ start     12.3 s  2 of 2 ready',
      'release 4 of shop is live after T',
      'http://shop.localhost:8080',
      '',
    ].join('\n'),
  )
})

test('on a terminal the running step is redrawn and what it prints is kept for a failure', async () => {
  const failure = {
    code: 'BAKE_FAILED',
    message: 'npm ci: exit 1',
    hint: null,
    diagnosis: ['disk: 1 GB free'],
  }
  const lines = [
    FIRST,
    step('bake', 'running', 0, ''),
    output('npm error 404'),
    step('bake', 'failed', 500, 'npm ci failed'),
    end({ status: 'failed', failure }),
  ]
  const { code, out, err } = await rollback({ [ROLLBACK]: [{ lines }] }, { isTTY: true })
  assert.equal(code, 6)
  assert.match(out, /\r.*•.* bake.* 0\.\d\d s.*npm error 404\x1b\[K/)
  assert.match(out, /✗\x1b\[39m bake .*npm ci failed\n/)
  assert.doesNotMatch(out, /\n {2}npm error 404/)
  assert.match(err, /^ {2}npm error 404\n {2}disk: 1 GB free\n.*error:.* npm ci: exit 1\n.*hint:/)
})

test('a failed rollout shows its diagnosis, error and hint', async () => {
  const diagnosis = ['GET /healthz answered 503', 'listening on 3000, expected 8080']
  const failure = {
    code: 'ROLLOUT_FAILED',
    message: 'web never became ready',
    hint: null,
    diagnosis,
  }
  const scripts = { [ROLLBACK]: [{ lines: [FIRST, bake, end({ status: 'failed', failure })] }] }
  const { code, err } = await rollback(scripts)
  assert.equal(code, 7)
  assert.equal(
    err,
    [
      ...diagnosis.map((line) => `  ${line}`),
      'error: web never became ready',
      'hint:  The old release keeps serving. The diagnosis above says why.',
      '',
    ].join('\n'),
  )
  const json = await rollback(scripts, { line: 'rollback --app shop --json' })
  assert.equal(json.code, 7)
  assert.equal(json.out.trim().split('\n').length, 3)
  const problem = JSON.parse(json.err) as { error: { code: string; diagnosis: string[] } }
  assert.deepEqual([problem.error.code, problem.error.diagnosis], ['ROLLOUT_FAILED', diagnosis])
})

test('a superseded one says so', async () => {
  const { code, err } = await rollback({
    [ROLLBACK]: [{ lines: [FIRST, end({ status: 'superseded' })] }],
  })
  assert.equal(code, 5)
  assert.match(err, /error: this deploy of shop was superseded by a newer one/)
})

test('Ctrl-C leaves the rollout going on and says how to watch it', async () => {
  const { code, err, left } = await rollback(
    { [ROLLBACK]: [{ lines: [FIRST, bake], hold: true }] },
    { interrupt: /bake/ },
  )
  assert.equal(code, 130)
  assert.match(err, /The rollout goes on\. Watch it with `fairway ps -w --app shop`/)
  assert.equal(left, 0)
})

test('a lost connection is picked up and said once', async () => {
  const { code, out, err } = await rollback({
    [ROLLBACK]: [{ lines: [FIRST, bake], cut: true }],
    [EVENTS]: [{ lines: [bake, step('start', 'done', 10, 'ready'), end()] }],
  })
  assert.equal(code, 0)
  assert.equal(out.match(/✓ bake/g)?.length, 1)
  assert.match(err, /the rollout goes on\n$/)
  assert.equal(err.match(/\n/g)?.length, 1)
})
