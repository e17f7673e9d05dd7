import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { InstanceSpec } from '../src/model/instance.ts'
import type { Runner } from '../src/model/runner.ts'
import {
  MAX_PRIVATE_BYTES,
  payloadNames,
  Secret,
  type InstancePayload,
  type PrivateFolderName,
} from '../src/model/secrets.ts'
import { argumentsWith, filesWith } from './planted.ts'
import { eventually, loggedLines, runIn, sampleSpec, type RunnerHarness } from './runner-suite.ts'

type Values = Readonly<Record<string, string>>

export function payload(
  folders: Readonly<Partial<Record<PrivateFolderName, Values>>>,
  env: Values = {},
): InstancePayload {
  const secrets = (values: Values): Map<string, Secret> =>
    new Map(Object.entries(values).map(([name, value]) => [name, Secret.of(value)]))
  return {
    folders: (['secrets', 'identity'] as const).flatMap((name) => {
      const values = folders[name]
      return values === undefined ? [] : [{ name, files: secrets(values) }]
    }),
    env: secrets(env),
  }
}

const swapped = (values: Values): InstancePayload['folders'][number] => {
  const [folder] = payload({ secrets: values }).folders
  if (folder === undefined) throw new Error('no folder')
  return folder
}

/** Prints what `FAIRWAY_SECRETS` holds: name, mode, owner, value; and whether that is a file system in memory. */
const LOOK = `const fs = require('fs'), dir = process.env.FAIRWAY_SECRETS
console.log('memory', fs.statfsSync(dir).type === 0x01021994)
for (const name of fs.readdirSync(dir).filter((n) => !n.startsWith('..')).sort()) {
  const { mode, uid } = fs.statSync(dir + '/' + name)
  console.log(name, (mode & 0o777).toString(8), uid === process.getuid(), fs.readFileSync(dir + '/' + name, 'utf8'))
}`

/** What every runner must do with payloads. */
export function privateCases(the: () => RunnerHarness): void {
  const sleeper = (given: InstancePayload): InstanceSpec => ({
    ...sampleSpec(the().image, ['sleep', '1000']),
    ...payloadNames(given),
  })
  const look = async (runner: Runner, id: string): Promise<string[]> => {
    const { stdout, stderr } = await runIn(runner, id, ['node', '-e', LOOK])
    return `${stdout}${stderr}`.trim().split('\n')
  }

  it('gives files in memory to the app’s user alone, before its first instruction', async () => {
    const { runner, logDir } = the()
    const given = payload({ secrets: { API_KEY: 'one', 'tls.crt': '' }, identity: { KEY: 'two' } })
    const spec = {
      ...sleeper(given),
      argv: [
        'node',
        '-e',
        `${LOOK}; console.log(fs.readFileSync(process.env.FAIRWAY_IDENTITY + '/KEY', 'utf8'))`,
      ],
    }
    await runner.start(spec, undefined, given)
    await runner.waitForExit(spec.id)
    assert.deepEqual(
      await loggedLines(logDir, spec),
      ['memory true', 'API_KEY 400 true one', 'tls.crt 400 true', 'two'].map((line) =>
        line === 'tls.crt 400 true' ? 'tls.crt 400 true ' : line,
      ),
    )
    await runner.remove(spec.id)
  })

  it('swaps the files of a running instance, and refuses what cannot be one', async () => {
    const { runner } = the()
    const given = payload({ secrets: { A: '1', B: '2' } })
    const spec = sleeper(given)
    await runner.start(spec, undefined, given)
    await runner.place(spec.id, swapped({ B: '3', C: '4' }))
    const now = ['memory true', 'B 400 true 3', 'C 400 true 4']
    assert.deepEqual(await look(runner, spec.id), now)
    for (const name of ['../B', '..data', 'a/b', '.x'])
      await assert.rejects(runner.place(spec.id, swapped({ [name]: 'x' })), {
        code: 'SECRETS_INVALID',
      })
    const large = swapped({ B: 'x'.repeat(MAX_PRIVATE_BYTES + 1) })
    await assert.rejects(runner.place(spec.id, large), { code: 'SECRETS_INVALID' })
    await assert.rejects(runner.place('web-1-unknown', swapped({})), { code: 'NOT_FOUND' })
    assert.deepEqual(await look(runner, spec.id), now)
    // As often as anybody likes: the versions before do not stay.
    const full = swapped({ B: 'x'.repeat(MAX_PRIVATE_BYTES) })
    for (let n = 0; n < 8; n++) await runner.place(spec.id, full)
    await runner.place(spec.id, swapped({ B: '5' }))
    assert.deepEqual(await look(runner, spec.id), ['memory true', 'B 400 true 5'])
    await runner.remove(spec.id)
  })

  it('sends a signal to the main process, which goes on', async () => {
    const { runner, logDir } = the()
    const code =
      "process.on('SIGHUP', () => console.log('again')); setInterval(() => 0, 1000); console.log('up')"
    const spec = sampleSpec(the().image, ['node', '-e', code])
    await runner.start(spec)
    const has = (line: string) => async (): Promise<boolean> =>
      (await loggedLines(logDir, spec)).includes(line)
    await eventually(has('up'), 'its start')
    await runner.signal(spec.id, 'SIGHUP')
    await eventually(has('again'), 'the signal')
    assert.equal((await runner.list()).find((found) => found.spec.id === spec.id)?.state, 'running')
    await runner.remove(spec.id)
    await assert.rejects(runner.signal(spec.id, 'SIGHUP'), { code: 'NOT_FOUND' })
  })

  it('has no folder for an instance that was started without one', async () => {
    const { runner } = the()
    const spec = sampleSpec(the().image, ['sleep', '1000'])
    await runner.start(spec)
    await assert.rejects(runner.place(spec.id, swapped({ A: '1' })), { code: 'NOT_RUNNING' })
    assert.equal(await runner.privatePath(spec.id, 'secrets'), null)
    await runner.remove(spec.id)
  })

  it('keeps them for whoever adopts the instance', async () => {
    const given = payload({ secrets: { A: 'kept' } }, { TOKEN: 'kept too' })
    const spec = sleeper(given)
    await the().runner.start(spec, undefined, given)
    const later = await the().again()
    try {
      assert.deepEqual(await look(later, spec.id), ['memory true', 'A 400 true kept'])
      const { stdout } = await runIn(later, spec.id, ['sh', '-c', 'echo $TOKEN'])
      assert.equal(stdout.trim(), 'kept too')
      await later.place(spec.id, swapped({ A: 'new' }))
      assert.deepEqual(await look(later, spec.id), ['memory true', 'A 400 true new'])
      await later.remove(spec.id)
    } finally {
      await later.close()
    }
    assert.deepEqual(await the().leftovers(), [])
  })

  it('writes no value to a disk, an argument or a log: not at the start, not for exec, not in a swap', async () => {
    const { runner, logDir } = the()
    const marks = ['planted-in-a-file', 'planted-in-a-variable', 'planted-in-a-swap']
    const [file = '', variable = '', swap = ''] = marks
    const given = payload({ secrets: { A: file } }, { TOKEN: variable })
    const spec = {
      ...sleeper(given),
      argv: ['sh', '-c', 'test -n "$TOKEN" && echo has it; sleep 1000'],
    }
    const found = await runner.start(spec, undefined, given)
    await eventually(
      async () => (await loggedLines(logDir, spec)).includes('has it'),
      'the variable',
    )
    const session = await runner.exec(spec.id, {
      argv: ['sh', '-c', 'echo $TOKEN; sleep 1000'],
      env: {},
      tty: false,
    })
    const said = new Promise<string>((resolve) =>
      session.stdio.once('data', (chunk) => resolve(String(chunk).trim())),
    )
    assert.equal(await said, variable, 'exec has the variables of the instance')
    const disks = [...the().disks, logDir]
    assert.deepEqual(await filesWith(disks, marks), [])
    await runner.place(spec.id, swapped({ A: swap }))
    assert.deepEqual(await filesWith(disks, marks), [])
    assert.deepEqual(await argumentsWith(marks), [])
    const told = JSON.stringify([found, await runner.list()])
    assert.ok(!told.includes('planted'), told)
    session.kill()
    await runner.remove(spec.id)
    assert.deepEqual(await filesWith(disks, marks), [])
  })
}
