import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { containerProblem, makeContainerHarness, USERS } from '../../test/container-harness.ts'
import { sandboxSuite } from '../../test/sandbox-suite.ts'
import { ContainerSandbox } from './container-sandbox.ts'

const skip = await containerProblem()

for (const { where, withoutUserNamespace } of USERS)
  sandboxSuite(
    {
      name: `container${where}`,
      skip,
      make: async () => {
        const harness = await makeContainerHarness('', { withoutUserNamespace })
        const sandbox = new ContainerSandbox({
          dataDir: join(harness.folder, 'data'),
          host: harness.host,
          network: harness.runner.network,
        })
        return {
          sandbox,
          lowerDirs: [join(harness.folder, 'layer')],
          leftovers: () => harness.leftovers(),
          close: () => harness.close(),
        }
      },
    },
    (run) => {
      it('ends what needs too much memory, and says so', async () => {
        const argv = ['node', '-e', 'const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1))']
        assert.equal((await run('', { argv })).reason, 'oom')
      })

      it('has no network unless asked for, and then only the world outside', async () => {
        const script =
          "const os = require('os'); console.log(Object.keys(os.networkInterfaces()).join())"
        const argv = ['node', '-e', script]
        assert.doesNotMatch((await run('', { argv })).output, /eth0/)
        assert.match((await run('', { argv, network: true })).output, /eth0/)
      })

      it('cannot write outside of its folders', async () => {
        const result = await run(
          // The shell's own complaints are another stream, and would come in between.
          '(echo x > /app/x) 2>&- || echo refused; (echo y > /bin/y) 2>&- || echo refused',
        )
        assert.equal(result.output.match(/^refused$/gm)?.length, 2)
      })
    },
  )
