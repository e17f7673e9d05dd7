import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { systemClock } from '../lib/clock.ts'
import { runFolder } from './container-host.ts'
import { ContainerDoctor } from './doctor.ts'

const dataDir = join(tmpdir(), `fairway-doctor-${String(process.pid)}`, 'not', 'made', 'yet')
after(() => rm(runFolder(dataDir), { recursive: true, force: true }))

test('looks at everything, and says what is wrong with a port and a clock', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  try {
    const options = { dataDir, ports: [port], clock: { ...systemClock, now: () => 0 } }
    const checks = await new ContainerDoctor(options).check()
    const named = new Map(checks.map((check) => [check.name, check]))
    for (const name of ['kernel', 'node', 'memory', 'disk space']) {
      assert.notEqual(named.get(name)?.status, 'fail', name)
    }
    assert.equal(named.get(`port ${String(port)}`)?.status, 'fail')
    assert.equal(named.get('clock')?.status, 'fail')
    const ours = await new ContainerDoctor({
      ...options,
      isOurs: () => Promise.resolve(true),
    }).check()
    assert.equal(ours.find(({ name }) => name.startsWith('port'))?.status, 'ok')
  } finally {
    server.close()
  }
})
