import assert from 'node:assert/strict'
import { access, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { minimalEnv, run, start } from '../../src/lib/process.ts'
import { identify, type ProcessIdentity } from '../../src/lib/process-identity.ts'
import { Lab } from './lab.ts'
import { labsFolder, LabFolder } from './lab-folder.ts'
import { lacksCluster } from './test-cluster.ts'
import { waitFor, waitUntil } from './wait.ts'

const CGROUPS = '/sys/fs/cgroup'
/** A suite, as far as the lab knows. */
const SUITE = `
  const { openTestCluster } = await import(process.argv[1])
  await openTestCluster({ alone: true, memory: 2 * 2 ** 30 })`

async function lacks(): Promise<string | false> {
  const own = process.env['KUBECONFIG'] ?? ''
  return own === '' ? await lacksCluster() : 'tests the lab itself; KUBECONFIG is set'
}

suite('a lab of a suite that is killed', { skip: await lacks(), timeout: 600_000 }, () => {
  const root = labsFolder(process.env)
  let name = ''

  after(async () => {
    if (name !== '') await new Lab(root, name).down()
  })

  test('ends by itself and leaves nothing', async () => {
    const module = join(import.meta.dirname, 'test-cluster.ts')
    const args = ['--input-type=module', '--eval', SUITE, module]
    const env = { ...minimalEnv(), ...stateHome() }
    const owner = await start(process.execPath, args, { env, stdio: 'ignore' })
    name = `t${String(owner.pid)}`
    const folder = new LabFolder(root, name)
    const { index } = await waitFor('nodes are being started', 240_000, async () => {
      assert.equal(owner.exitCode, null, 'the suite runs')
      const record = await folder.record()
      return record !== null && record.steps.length > 0 ? record : null
    })
    // Not one that is ready: half a lab is the harder one to end, and the sooner one to have.
    const processes = await processesIn(folder.cgroup)
    assert.ok(processes.length > 4, `supervisor and control plane, not ${String(processes.length)}`)
    owner.kill('SIGKILL')
    await waitUntil('its folder is gone', 120_000, async () => !(await isThere(folder.path)))
    for (const { pid, startedAs } of processes)
      assert.notEqual((await identify(pid))?.startedAs, startedAs, `${String(pid)} ended`)
    assert.deepEqual(await processesIn(folder.cgroup), [])
    const links = await run('ip', ['-o', 'link'])
    assert.ok(!links.includes(`fwlab${String(index)}:`), 'the link is gone')
  })
})

function stateHome(): Readonly<Record<string, string>> {
  const home = process.env['XDG_STATE_HOME']
  return home === undefined ? {} : { XDG_STATE_HOME: home }
}

/** Of any hierarchy: a process of the lab is in it in all of them. */
async function processesIn(cgroup: string): Promise<readonly ProcessIdentity[]> {
  const found = new Map<number, ProcessIdentity>()
  for (const hierarchy of ['', 'memory']) {
    const folder = join(CGROUPS, hierarchy, cgroup)
    if (!(await isThere(folder))) continue
    for (const entry of await readdir(folder, { recursive: true })) {
      if (!entry.endsWith('cgroup.procs')) continue
      const pids = (await readFile(join(folder, entry), 'utf8')).trim().split('\n')
      for (const pid of pids) {
        const identity = await identify(Number(pid))
        if (identity !== null) found.set(identity.pid, identity)
      }
    }
  }
  return [...found.values()]
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
