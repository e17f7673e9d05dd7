import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  containerProblem,
  makeContainerHarness,
  type ContainerHarness,
} from '../../test/container-harness.ts'
import { ask, eventually, sampleSpec } from '../../test/runner-suite.ts'
import { run } from '../lib/process.ts'

const skip = await containerProblem()
/** Says what it has to say when nobody has spoken to it for a while. */
const SLOW = `require('net').createServer((s) => setTimeout(() => s.end('late'), 600)).listen(+process.env.PORT)`

describe('network of instances', { skip: skip ?? false }, () => {
  let harness: ContainerHarness
  before(async () => {
    harness = await makeContainerHarness('')
  })
  after(() => harness.close())

  it('brings an answer that was under way while the network got another member', async () => {
    const { runner, image, host } = harness
    const { bridge } = runner.network
    const hardware = (): Promise<string> => readFile(`/sys/class/net/${bridge}/address`, 'utf8')
    const spec = sampleSpec(image, ['node', '-e', SLOW], { listens: true })
    const { address } = await runner.start(spec)
    assert.ok(address)
    await eventually(() => ask(address.host, address.port), 'it answers')
    const before = await hardware()
    // A bridge that was not told its address takes the lowest one of its ports.
    const port = `fwt${String(process.pid)}`
    const lowest = ['address', '02:00:00:00:00:01']
    await run(host.ip, ['link', 'add', port, ...lowest, 'type', 'veth', 'peer', `${port}p`])
    try {
      const answer = ask(address.host, address.port)
      await sleep(200)
      await run(host.ip, ['link', 'set', port, 'master', bridge, 'up'])
      assert.equal(await answer, 'late')
      assert.equal(await hardware(), before)
    } finally {
      await run(host.ip, ['link', 'delete', port])
    }
  })
})
