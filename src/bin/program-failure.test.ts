import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { FairwayError } from '../model/errors.ts'
import { readConfig } from './config.ts'
import { failureInLog, programFailure } from './program-failure.ts'

async function listenError(host: string, port: number): Promise<unknown> {
  const server = createServer()
  const [error] = await new Promise<unknown[]>((resolve) => {
    server.once('error', (...failed) => resolve(failed))
    server.listen(port, host)
  })
  return error
}

test('a taken port is named, with the setting that it came from', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const address = taken.address()
  assert.ok(address !== null && typeof address === 'object')
  const port = String(address.port)
  try {
    const error = await listenError('127.0.0.1', address.port)
    const server = programFailure(error, readConfig({ FAIRWAY_API_PORT: port }))
    assert.equal(server.code, 'CONFLICT')
    assert.equal(server.message, `127.0.0.1:${port} is taken by another program`)
    assert.match(server.hint, /--port N or FAIRWAY_API_PORT/)
    const router = programFailure(error, readConfig({ FAIRWAY_HTTPS_PORT: port }))
    assert.match(router.hint, /with FAIRWAY_HTTPS_PORT/)
  } finally {
    taken.close()
  }
})

test('an address of another machine is named', async () => {
  const error = await listenError('192.0.2.1', 7070)
  const failure = programFailure(error, readConfig({ FAIRWAY_API_HOST: '192.0.2.1' }))
  assert.equal(failure.code, 'INVALID_REQUEST')
  assert.match(failure.message, /192\.0\.2\.1:7070 is not an address of this machine/)
  assert.match(failure.hint, /FAIRWAY_API_HOST/)
})

test('the last failure in a log is found among other lines', () => {
  const line = (message: string) =>
    JSON.stringify({ level: 50, failure: { code: 'CONFLICT', message, hint: 'do this' } })
  const text = `${line('older')}\n${line('newer')}\nnot JSON\n{"failure":{"code":"NO_SUCH"}}\n`
  const found = failureInLog(text)
  assert.deepEqual([found?.code, found?.message, found?.hint], ['CONFLICT', 'newer', 'do this'])
  assert.equal(failureInLog('started\n{"msg":"fine"}\n'), null)
})

test('errors of the domain pass, anything else is internal', () => {
  const known = new FairwayError('RUNNER_UNAVAILABLE', 'containers need root on this host')
  assert.equal(programFailure(known, readConfig({})), known)
  assert.equal(programFailure(new Error('boom'), readConfig({})).code, 'INTERNAL')
})

test('a full disk is named, whoever noticed it', () => {
  const config = readConfig({ FAIRWAY_DATA_DIR: '/data' })
  for (const facts of [{ code: 'ENOSPC' }, { code: 'EDQUOT' }, { errcode: 13 }]) {
    const failure = programFailure(Object.assign(new Error('write'), facts), config)
    assert.deepEqual([failure.code, failure.message], ['DISK_FULL', 'no space is left in /data'])
  }
})
