/** What go-spiffe, the reference client, makes of our Workload API and our certificates. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { build, cacheFolder, type Build } from '../../test/cluster/builds.ts'
import { until } from '../../test/fakes/until.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { minimalEnv, ProgramError, run, runToEnd, start } from '../lib/process.ts'
import { Authority } from './authority.ts'
import type { X509Svid } from './certificate.ts'
import { parseSpiffeId, spiffeIdText } from './spiffe-id.ts'
import { WorkloadApi, type Caller } from './workload-api.ts'

const CLIENT: Build = {
  module: 'spiffe',
  programs: { 'spiffe-client': '.' },
  versionOf: 'github.com/spiffe/go-spiffe/v2',
  isStatic: true,
}
const HOUR = 3_600_000

async function lacksGo(): Promise<string | false> {
  try {
    return (await runToEnd('go', ['version'])).code === 0 ? false : 'needs Go to build go-spiffe'
  } catch (error) {
    if (error instanceof ProgramError) return 'needs Go to build go-spiffe'
    throw error
  }
}

class OneCaller implements Caller {
  current: X509Svid
  readonly #listeners = new Set<() => void>()

  constructor(first: X509Svid) {
    this.current = first
  }

  get listening(): number {
    return this.#listeners.size
  }

  svid(): X509Svid {
    return this.current
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  renew(svid: X509Svid): void {
    this.current = svid
    for (const listener of this.#listeners) listener()
  }
}

describe('go-spiffe', { skip: await lacksGo() }, () => {
  let folder = ''
  let program = ''
  const vault = { load: () => Promise.resolve(null), save: () => Promise.resolve() }
  const authorityOf = (trustDomain: string) =>
    new Authority({
      trustDomain,
      vault,
      clock: systemClock,
      log: silentLog,
      times: { svidMs: HOUR, rootMs: 1000 * HOUR },
    })
  const authority = authorityOf('example.org')
  const apis: WorkloadApi[] = []
  const callers = new Map<string, OneCaller>()

  async function serve(name: string, from = authority): Promise<void> {
    const id = { trustDomain: from.trustDomain, path: `/production/shop/${name}` }
    const caller = new OneCaller(await from.x509Svid(id))
    const api = new WorkloadApi({ authority: from, caller, log: silentLog })
    await api.listen(socketOf(name))
    apis.push(api)
    callers.set(name, caller)
  }

  const socketOf = (name: string) => join(folder, `${name}.sock`)
  const idOf = (name: string) => `spiffe://example.org/production/shop/${name}`
  const envOf = (name: string) => ({
    ...minimalEnv(),
    SPIFFE_ENDPOINT_SOCKET: `unix://${socketOf(name)}`,
  })

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fw-go-'))
    const built = await build(CLIENT, cacheFolder(process.env), () => undefined)
    program = join(built.folder, 'spiffe-client')
    for (const name of ['web', 'db', 'worker']) await serve(name)
    await serve('stranger', authorityOf('other.org'))
  })
  after(async () => {
    for (const api of apis) await api.close()
    await rm(folder, { recursive: true, force: true })
  })

  test('all five calls answer what it accepts', async () => {
    const said = await run(program, ['fetch', 'api'], { env: envOf('web') })
    assert.deepEqual(JSON.parse(said), {
      id: idOf('web'),
      chain: 1,
      roots: 1,
      jwt: idOf('web'),
      jwtKeys: 1,
      validated: idOf('web'),
      otherAudience: false,
    })
  })

  test('mutual TLS: the peer that is meant, and nobody else', async () => {
    const server = await start(program, ['serve', idOf('web')], {
      env: envOf('db'),
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const ended = once(server, 'exit')
    try {
      assert.ok(server.stdout)
      const [line] = (await once(createInterface(server.stdout), 'line')) as [string]
      const { port } = JSON.parse(line) as { port: number }
      const dial = (name: string, peer: string) =>
        runToEnd(program, ['dial', `127.0.0.1:${String(port)}`, idOf(peer)], { env: envOf(name) })
      assert.match((await dial('web', 'db')).stdout, /welcome/)
      assert.doesNotMatch((await dial('worker', 'db')).stdout, /welcome/)
      assert.doesNotMatch((await dial('stranger', 'db')).stdout, /welcome/)
      const wrong = await dial('web', 'worker')
      assert.match(wrong.stderr, /unexpected ID/)
    } finally {
      server.stdin?.end()
      await ended
    }
  })

  test('hears of every new SVID and of a published root while it goes on', async () => {
    const caller = callers.get('worker')
    assert.ok(caller)
    const watcher = await start(program, ['watch'], {
      env: envOf('worker'),
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const ended = once(watcher, 'exit')
    const updates: { serial?: string; roots?: number }[] = []
    try {
      assert.ok(watcher.stdout)
      createInterface(watcher.stdout).on('line', (line) => {
        updates.push(JSON.parse(line) as { serial?: string; roots?: number })
      })
      await until('the first', () => updates.length === 1, 60_000)
      caller.renew(await authority.x509Svid(caller.current.id))
      await until('the second', () => updates.length === 2, 60_000)
      await authority.rotate()
      caller.renew(caller.current)
      await until('the third', () => updates.length === 3, 60_000)
    } finally {
      watcher.stdin?.end()
      await ended
    }
    const serial = new X509Certificate(caller.current.certificate).serialNumber.toLowerCase()
    const [first, second, third] = updates
    assert.notEqual(first?.serial, second?.serial)
    assert.equal((second?.serial ?? '').padStart(serial.length, '0'), serial)
    assert.deepEqual([first?.roots, second?.roots, third?.roots], [1, 1, 2])
  })

  test('takes for a SPIFFE ID what we take for one', async () => {
    const allowed = fc.constantFrom(...Array.from('abz09._-/ab'))
    const odd = fc.constantFrom(...Array.from('AZ:%?#@ é'))
    const character = fc.oneof({ weight: 40, arbitrary: allowed }, { weight: 1, arbitrary: odd })
    const rest = fc.array(character, { maxLength: 24 }).map((all) => all.join(''))
    const near = fc.tuple(fc.constantFrom('spiffe://', 'spiffe:/', 'SPIFFE://', ''), rest)
    const texts = fc.sample(near, 3000).map(([scheme, text]) => scheme + text)
    const input = texts.map((text) => JSON.stringify(text)).join('\n')
    const said = (await run(program, ['ids'], { input })).trim().split('\n')
    const ours = texts.map((text) => String(parseSpiffeId(text) !== null))
    const different = texts.filter((_, index) => ours[index] !== said[index])
    assert.deepEqual(different, [])
    assert.ok(ours.filter((verdict) => verdict === 'true').length > 100)
    for (const text of texts) {
      const id = parseSpiffeId(text)
      if (id !== null) assert.equal(spiffeIdText(id), text)
    }
  })
})
