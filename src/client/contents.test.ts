import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import { createTestApi, listen } from '../../test/fakes/test-api.ts'
import { digestOf } from '../../test/fakes/memory-source-store.ts'
import { ClientError } from './client-error.ts'
import { FairwayClient } from './fairway-client.ts'

async function withApi(
  work: (client: FairwayClient, stored: ReadonlyMap<string, Uint8Array>) => Promise<void>,
): Promise<void> {
  const { api, tokens, sources } = await createTestApi()
  const server = `http://127.0.0.1:${await listen(api)}`
  const client = new FairwayClient({ server, token: tokens.developer })
  try {
    await work(client, sources.contents)
  } finally {
    client.close()
    await api.close()
  }
}

test('contents arrive as they are, also empty and many', async () => {
  await withApi(async (client, stored) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 60 }),
        async (all) => {
          const contents = all.map((bytes) => ({
            digest: digestOf(bytes),
            size: bytes.length,
            read: () => [bytes.subarray(0, 7), bytes.subarray(7)],
          }))
          let sent = 0
          await client.sendContents(contents, (bytes) => (sent = bytes))
          assert.equal(
            sent,
            all.reduce((sum, bytes) => sum + bytes.length, 0),
          )
          for (const bytes of all) {
            assert.deepEqual(Buffer.from(stored.get(digestOf(bytes)) ?? []), Buffer.from(bytes))
          }
        },
      ),
      { numRuns: 30 },
    )
  })
})

for (const [what, bytes] of [
  ['grew', 'abXdef'],
  ['shrank', 'ab'],
] as const) {
  test(`a file that ${what} meanwhile fails by its digest and spoils no other`, async () => {
    await withApi(async (client, stored) => {
      const before = { digest: digestOf(Buffer.from('x')), size: 1, read: () => [Buffer.from('x')] }
      const changed = {
        digest: digestOf(Buffer.from('abc')),
        size: 3,
        read: () => [Buffer.from(bytes)],
      }
      await assert.rejects(
        client.sendContents([before, changed], () => undefined),
        (error: unknown) => error instanceof ClientError && error.code === 'DIGEST_MISMATCH',
      )
      assert.deepEqual([...stored.keys()], [before.digest])
    })
  })
}
