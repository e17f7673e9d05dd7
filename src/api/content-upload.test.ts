import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import type { ContentFrame } from '../contract/content-frames.ts'
import { FairwayError } from '../model/errors.ts'
import type { Digest } from '../model/release.ts'
import { once, storeContents } from './content-upload.ts'

const LIMITS = { contentBytes: 1 << 20 }

/** Notes what is written and how much of it at once. */
class SlowStore {
  readonly written = new Map<Digest, string>()
  open = 0
  widest = 0
  refused: Digest | null = null

  async writeContent(
    digest: Digest,
    _size: number,
    body: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    this.open += 1
    this.widest = Math.max(this.widest, this.open)
    const chunks: Uint8Array[] = []
    for await (const chunk of body) chunks.push(chunk)
    await sleep(2)
    this.open -= 1
    if (digest === this.refused) throw new FairwayError('DIGEST_MISMATCH', `not ${digest}`)
    this.written.set(digest, Buffer.concat(chunks).toString())
  }
}

async function* framesOf(texts: readonly string[]): AsyncGenerator<ContentFrame> {
  for (const text of texts) {
    const bytes = Buffer.from(text)
    yield await Promise.resolve({ digest: digestOf(text), size: bytes.length, body: once(bytes) })
  }
}

function digestOf(text: string): Digest {
  return `sha256:${hash('sha256', text, 'hex')}`
}

test('small contents are written beside each other, within bounds, and all of them', async () => {
  const store = new SlowStore()
  const texts = Array.from({ length: 200 }, (_, index) => `content ${String(index)}`)
  const bytes = texts.reduce((sum, text) => sum + text.length, 0)
  assert.deepEqual(await storeContents(store, framesOf(texts), LIMITS), { stored: 200, bytes })
  assert.deepEqual([...store.written.values()].sort(), [...texts].sort())
  assert.ok(store.widest > 1 && store.widest <= 16, String(store.widest))
})

test('large contents pass one at a time', async () => {
  const store = new SlowStore()
  const texts = ['a', 'b', 'c'].map((letter) => letter.repeat(100_000))
  assert.equal((await storeContents(store, framesOf(texts), LIMITS)).stored, 3)
  assert.equal(store.widest, 1)
})

test('a failure is told once nothing is being written any more, and no further content is begun', async () => {
  const store = new SlowStore()
  const texts = Array.from({ length: 500 }, (_, index) => String(index))
  store.refused = digestOf('20')
  await assert.rejects(storeContents(store, framesOf(texts), LIMITS), { code: 'DIGEST_MISMATCH' })
  assert.equal(store.open, 0)
  assert.ok(store.written.size < 100, String(store.written.size))
})

test('a content above the limit ends the request after what was begun', async () => {
  const store = new SlowStore()
  const sent = storeContents(store, framesOf(['small', 'x'.repeat(2 << 20)]), LIMITS)
  await assert.rejects(sent, { code: 'TOO_LARGE' })
  assert.deepEqual([...store.written.values()], ['small'])
  assert.equal(store.open, 0)
})
