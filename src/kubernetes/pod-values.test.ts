import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SHOP } from '../../test/fakes/cluster-plan.ts'
import { until } from '../../test/fakes/until.ts'
import { Changes } from '../lib/changes.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { FairwayError } from '../model/errors.ts'
import {
  Secret,
  type InstancePayload,
  type InstanceSecrets,
  type SecretPlan,
  type ValueState,
} from '../model/secrets.ts'
import { PodValues } from './pod-values.ts'

const PLAN: SecretPlan = { documents: [], env: { A: { kind: 'vault', path: 'p', key: 'k' } } }
const FILES: SecretPlan = { documents: [{ path: 's.yaml', text: 'x' }], env: {} }
const wanted = new Map([
  ['web@1', PLAN],
  ['worker@1', FILES],
])

/** One value that tests set; what opens real ones is tested by itself (src/secrets). */
class OneValue implements InstanceSecrets {
  value = 'first'
  /** Of files that need another pod. */
  restart = ''
  state: ValueState = { revision: 0, trouble: null }
  failure: Error | null = null
  opened = 0
  watchers = 0
  readonly #changes = new Changes()

  open(): Promise<InstancePayload> {
    this.opened += 1
    if (this.failure !== null) return Promise.reject(this.failure)
    const { value, restart } = this
    const version = { restart, files: '', signals: {} }
    const env = new Map([['A', Secret.of(value)]])
    return Promise.resolve({ folders: [], env, envVersion: `print ${value}`, version })
  }

  async *watch(_ref: unknown, _plan: unknown, signal: AbortSignal): AsyncIterable<ValueState> {
    this.watchers += 1
    try {
      while (!signal.aborted) {
        const seen = this.#changes.version('')
        yield this.state
        await this.#changes.after('', seen, signal)
      }
    } finally {
      this.watchers -= 1
    }
  }

  change(
    to: Partial<Pick<OneValue, 'value' | 'restart' | 'failure'>>,
    trouble: string | null = null,
  ) {
    Object.assign(this, to)
    this.state = { revision: this.state.revision + 1, trouble }
    this.#changes.announce('')
  }
}

function bed() {
  const secrets = new OneValue()
  const told: number[] = []
  const values = new PodValues({
    secrets,
    onChange: () => told.push(secrets.opened),
    clock: { ...systemClock, sleep: () => systemClock.sleep(2) },
    log: silentLog,
  })
  const now = (): string | undefined =>
    values.known(SHOP, wanted)?.get('web@1')?.env.get('A')?.revealText()
  return { secrets, values, told, now }
}

test('what objects follow from is opened once, kept good while it is held, and forgotten then', async () => {
  const { secrets, values, now } = bed()
  assert.equal(values.known(SHOP, wanted), null)
  const found = await values.open(SHOP, wanted, 'served')
  assert.deepEqual([...found.keys()], ['web@1'], 'files alone are none of it')
  await values.open(SHOP, wanted, 'a run')
  assert.equal(secrets.opened, 1)
  assert.equal(now(), 'first')
  values.release(SHOP, 'served', new Set(['web@1']))
  values.release(SHOP, 'a run')
  assert.equal(now(), 'first', 'somebody else holds it')
  values.release(SHOP, 'served')
  await until('it is so', () => secrets.watchers === 0)
  assert.equal(values.known(SHOP, wanted), null)
})

test('another value is told once it is read, the same one read again is not', async () => {
  const { secrets, values, told, now } = bed()
  await values.open(SHOP, wanted, 'served')
  secrets.change({ value: 'second' })
  await until('it is so', () => now() === 'second')
  assert.equal(told.length, 1)
  secrets.change({})
  await until('it is so', () => secrets.opened === 3)
  secrets.change({ restart: 'files' })
  await until('it is so', () => told.length === 2)
  assert.equal(values.known(SHOP, wanted)?.get('web@1')?.restart, 'files')
  values.close()
  await until('it is so', () => secrets.watchers === 0)
})

test('a value that cannot be read is tried until it can, and trouble is told', async () => {
  const { secrets, values, told, now } = bed()
  secrets.failure = new FairwayError('VAULT_UNAVAILABLE', 'sealed')
  await assert.rejects(values.open(SHOP, wanted, 'served'), { code: 'VAULT_UNAVAILABLE' })
  secrets.failure = null
  await values.open(SHOP, wanted, 'served')
  secrets.change({}, 'Vault is sealed')
  await until(
    'it is so',
    () => values.trouble(SHOP, 'web@1') === 'values not renewed: Vault is sealed',
  )
  assert.equal(values.trouble(SHOP, 'worker@1'), null)
  assert.equal(now(), 'first', 'what is there goes on')
  secrets.change({ value: 'third', failure: new Error('not yet') })
  await until('it is so', () => secrets.opened > 5)
  secrets.failure = null
  await until('it is so', () => now() === 'third')
  assert.equal(values.trouble(SHOP, 'web@1'), null)
  assert.ok(told.length >= 2)
  values.close()
})

test('what no cluster takes as a variable is refused by name, without its value', async () => {
  const { secrets, values } = bed()
  secrets.open = () =>
    Promise.resolve({ folders: [], env: new Map([['A', Secret.of(Uint8Array.of(0xff, 0xfe))]]) })
  await assert.rejects(values.open(SHOP, wanted, 'served'), /env\.A: the value is no text in UTF-8/)
  const large = new Map(
    Array.from({ length: 10 }, (_, n) => [`V${n}`, Secret.of('planted'.repeat(17_000))] as const),
  )
  secrets.open = () => Promise.resolve({ folders: [], env: large })
  await assert.rejects(values.open(SHOP, wanted, 'served'), (error: Error) => {
    assert.match(error.message, /1190000 bytes together/)
    return !error.message.includes('planted')
  })
  values.close()
})
