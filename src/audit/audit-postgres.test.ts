import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { checkPlaces } from '../../test/audit-suite.ts'
import { postgresPrograms, startPostgresCluster } from '../../test/postgres-cluster.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { openPostgresStore } from '../store/postgres-store.ts'
import { AuditLog } from './audit-log.ts'
import { ChainVerifier } from './chain-verifier.ts'
import { createSigner, newSigningKey } from './checkpoint.ts'

const programs = postgresPrograms()
const skip = 'missing' in programs ? programs.missing : false

describe('audit on PostgreSQL', { skip }, () => {
  let cluster: Awaited<ReturnType<typeof startPostgresCluster>>
  before(async () => {
    assert.ok('folder' in programs)
    cluster = await startPostgresCluster(programs.folder)
    await cluster.start()
  })
  after(() => cluster.remove())

  test('records are found by place', async () => {
    const url = await cluster.newDatabase()
    const options = { url, clock: systemClock, log: silentLog, random: Math.random }
    const store = await openPostgresStore(options)
    try {
      await checkPlaces(store.audit)
    } finally {
      await store.close()
    }
  })

  test('two servers that write 1,000 records at the same time make one chain', async () => {
    const url = await cluster.newDatabase()
    const options = { url, clock: systemClock, log: silentLog, random: Math.random }
    const stores = [await openPostgresStore(options), await openPostgresStore(options)]
    try {
      const logs = stores.map(
        (store) =>
          new AuditLog({
            store: store.audit,
            clock: systemClock,
            log: silentLog,
            signer: createSigner(newSigningKey()),
            memory: { read: () => Promise.resolve(null), write: () => Promise.resolve() },
            keptMs: 1e12,
          }),
      )
      for (const log of logs) await log.open()
      const actor = { kind: 'token', id: 't', name: 'ci' } as const
      const event = { actor, action: 'app:deploy', outcome: 'allowed', app: 'shop' } as const
      await Promise.all(
        Array.from({ length: 1000 }, async (_, index) => {
          // Spread over several turns, so that the two are in each other's way.
          await systemClock.sleep(index % 50)
          await logs[index % 2]?.record({ ...event, environment: `e${String(index)}` })
        }),
      )
      for (const log of logs) await log.close()
      const verifier = new ChainVerifier()
      const lines = await Array.fromAsync(logs[0]?.export() ?? [])
      for (const line of lines) verifier.take(line)
      assert.deepEqual(verifier.end().findings, [])
      assert.equal(
        new Set(lines.map((line) => /"environment":"(e\d+)"/.exec(line)?.[1])).size,
        1001,
      )
    } finally {
      for (const store of stores) await store.close()
    }
  })
})
