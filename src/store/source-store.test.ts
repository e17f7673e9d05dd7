import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { FairwayError } from '../model/errors.ts'
import type { Digest } from '../model/release.ts'
import type { SourceEntry } from '../model/source.ts'
import { checkedEntries } from './source-paths.ts'
import { openSourceStore, type SourceLimits } from './source-store.ts'

const folder = await mkdtemp(join(tmpdir(), 'fairway-sources-'))
after(() => rm(folder, { recursive: true, force: true }))
let count = 0

async function newStore(limits: Partial<SourceLimits> = {}) {
  count++
  const root = join(folder, String(count))
  const time = { now: Date.now() }
  const clock = { now: () => time.now, elapsed: () => time.now, sleep: () => Promise.resolve() }
  return { root, time, clock, store: await openSourceStore({ root, clock, limits }) }
}

function digestOf(text: string): Digest {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`
}

function file(path: string, text = 'x'): SourceEntry {
  return {
    type: 'file',
    path,
    size: Buffer.byteLength(text),
    executable: false,
    digest: digestOf(text),
  }
}

function link(path: string, target: string): SourceEntry {
  return { type: 'symlink', path, target }
}

async function* body(...chunks: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield await Promise.resolve(Buffer.from(chunk))
}

function code(expected: string) {
  return (error: unknown) => {
    assert.ok(error instanceof FairwayError, String(error))
    assert.equal(error.code, expected)
    return true
  }
}

test('contents travel once, trees are found by an id that their content decides', async () => {
  const { store, root, clock } = await newStore()
  const entries = [file('b/c.txt', 'hello'), link('a', 'b/c.txt'), file('b/d', 'x')]
  assert.deepEqual(await store.missing([digestOf('hello'), digestOf('x'), digestOf('x')]), [
    digestOf('hello'),
    digestOf('x'),
  ])
  await assert.rejects(store.save(entries), code('SOURCE_INCOMPLETE'))
  await store.writeContent(digestOf('hello'), 5, body('he', 'llo'))
  await store.writeContent(digestOf('hello'), 5, body('he', 'llo'))
  await store.writeContent(digestOf('x'), 1, body('x'))
  const saved = await store.save(entries)
  assert.deepEqual(
    saved.entries.map(({ path }) => path),
    ['a', 'b/c.txt', 'b/d'],
  )
  assert.equal((await store.save([...entries].reverse())).id, saved.id)
  const reopened = await openSourceStore({ root, clock })
  assert.deepEqual(await reopened.missing([digestOf('hello')]), [])
  const tree = await reopened.open(saved.id)
  assert.deepEqual(tree?.entries, saved.entries)
  assert.equal(await tree.readText('b/c.txt'), 'hello')
  assert.equal(await tree.readText('b/c.txt', 2), 'he')
  assert.equal(await tree.readText('a'), null)
  assert.equal(await tree.readText('nowhere'), null)
  assert.equal(await readFile(tree.contentPath(digestOf('hello')), 'utf8'), 'hello')
  for (const id of ['', '../../etc/passwd', digestOf('other'), 'sha256:..'])
    assert.equal(await reopened.open(id), null)
})

test('wrong bytes are refused and leave nothing behind', async () => {
  const { store, root } = await newStore({ maxContentBytes: 10 })
  const digest = digestOf('hello')
  await assert.rejects(store.writeContent(digest, 5, body('hullo')), code('DIGEST_MISMATCH'))
  await assert.rejects(store.writeContent(digest, 5, body('hell')), code('DIGEST_MISMATCH'))
  await assert.rejects(store.writeContent(digest, 5, body('hello', '!')), code('DIGEST_MISMATCH'))
  await assert.rejects(store.writeContent(digest, 11, body('hello')), code('TOO_LARGE'))
  await assert.rejects(store.writeContent('sha256:../../x', 1, body('x')), code('INVALID_REQUEST'))
  const broken = (async function* () {
    yield await Promise.resolve(Buffer.from('he'))
    throw new Error('connection lost')
  })()
  await assert.rejects(store.writeContent(digest, 5, broken), /connection lost/)
  assert.deepEqual(await readdir(join(root, 'tmp')), [])
  assert.deepEqual(await store.missing([digest]), [digest])
})

test('many writers of one content do not disturb each other', async () => {
  const { store } = await newStore()
  await Promise.all(
    Array.from({ length: 20 }, () => store.writeContent(digestOf('hello'), 5, body('he', 'llo'))),
  )
  const { id } = await store.save([file('a', 'hello')])
  assert.equal(await (await store.open(id))?.readText('a'), 'hello')
})

test('a content that a power loss cut short is asked for again', async () => {
  const { store, root, clock } = await newStore()
  await store.writeContent(digestOf('hello'), 5, body('hello'))
  const { id } = await store.save([file('a', 'hello')])
  const path = (await store.open(id))?.contentPath(digestOf('hello')) ?? ''
  await truncate(path, 0)
  const again = await openSourceStore({ root, clock })
  await assert.rejects(again.save([file('a', 'hello')]), code('SOURCE_INCOMPLETE'))
  assert.deepEqual(await again.missing([digestOf('hello')]), [digestOf('hello')])
  // A wrong size in the tree is the sender's mistake; the content stays.
  await again.writeContent(digestOf('hello'), 5, body('hello'))
  const third = await openSourceStore({ root, clock })
  await assert.rejects(
    third.save([{ ...file('a', 'hello'), size: 4 } as SourceEntry]),
    /a is said to have 4 bytes, its content has 5/,
  )
  assert.deepEqual(await third.missing([digestOf('hello')]), [])
  await third.save([file('a', 'hello')])
  await assert.rejects(
    third.save([{ ...file('b', 'hello'), size: 6 } as SourceEntry]),
    code('INVALID_SOURCE'),
  )
})

test('limits of entries and bytes', async () => {
  const { store } = await newStore({ maxEntries: 1, maxTotalBytes: 4 })
  await assert.rejects(store.save([file('a'), file('b')]), code('TOO_LARGE'))
  await assert.rejects(store.save([file('a', 'hello')]), code('TOO_LARGE'))
})

const REFUSED: readonly (readonly [string, readonly SourceEntry[], RegExp])[] = [
  ['absolute', [file('/etc/passwd')], /is absolute/],
  ['up', [file('a/../../b')], /segment \.\./],
  ['dot', [file('./a')], /segment \./],
  ['empty', [file('')], /is empty/],
  ['empty segment', [file('a//b')], /empty segment/],
  ['trailing slash', [file('a/')], /empty segment/],
  ['backslash', [file('a\\b')], /backslash/],
  ['NUL', [file('a\0b')], /control character/],
  ['newline', [file('a\nb')], /control character/],
  ['too long', [file('a/'.repeat(3000) + 'b')], /longer than 4096/],
  ['long segment', [file('é'.repeat(200))], /segment longer than 255/],
  ['lone surrogate', [file('a\ud800')], /not valid Unicode/],
  ['twice', [file('a'), link('a', 'b')], /stands there twice/],
  ['letter case', [file('README'), file('readme')], /differ only in letter case/],
  ['letter case of folders', [file('Lib/a'), file('lib/b')], /differ only in letter case/],
  ['two ways to write é', [file('\u00e9'), file('e\u0301')], /differ only/],
  ['below a file', [file('a'), file('a/b')], /"a\/b" lies below "a", which is a file/],
  ['below a link', [link('a', 'c'), file('a/b')], /which is a symlink/],
  ['absolute link', [link('a', '/etc/passwd')], /leaves the source/],
  ['link out', [link('a/b', '../../etc')], /"a\/b" is a link to "..\/..\/etc", which leaves/],
  [
    'link out through a link',
    [link('sub/up', '..'), link('out', 'sub/up/../secret')],
    /"out" is a link/,
  ],
  ['link circle', [link('a', 'b'), link('b', 'a')], /circle/],
  ['empty link', [link('a', '')], /no path/],
]

for (const [what, entries, pattern] of REFUSED) {
  test(`refuses a source with: ${what}`, () => {
    assert.throws(
      () => checkedEntries(entries),
      (error) => {
        assert.match(String(error), pattern)
        return code('INVALID_SOURCE')(error)
      },
    )
  })
}

test('links inside the tree are fine, also to nothing, to the root and through each other', () => {
  const entries = [
    file('a/b/c'),
    link('x', 'a/b/c'),
    link('a/up', '..'),
    link('a/here', '.'),
    link('y', 'a/up/a/b'),
    link('z', 'nowhere/at/all'),
  ]
  assert.equal(checkedEntries(entries).length, entries.length)
})

test('no accepted set of paths leaves the root when it is joined to one', () => {
  const segment = fc.constantFrom('a', 'b', '..', '.', '', '/', 'a\\b', '...', ' ', '~', 'C:')
  const path = fc.array(segment, { maxLength: 5 }).map((parts) => parts.join('/'))
  fc.assert(
    fc.property(fc.array(path, { maxLength: 4 }), (paths) => {
      try {
        checkedEntries(paths.map((each) => file(each)))
      } catch (error) {
        return code('INVALID_SOURCE')(error)
      }
      return paths.every((each) => join('/root', each) === `/root/${each}`)
    }),
  )
})

test('collecting keeps what is named, young or being sent, and frees the rest', async () => {
  const { store, time, root } = await newStore({ graceMs: 1000 })
  for (const text of ['old', 'kept', 'shared'])
    await store.writeContent(digestOf(text), text.length, body(text))
  const old = await store.save([file('a', 'old'), file('b', 'shared')])
  const kept = await store.save([file('a', 'kept'), file('b', 'shared')])
  await writeFile(join(root, 'tmp', 'left-over'), '12345')
  assert.equal(await store.collect(new Set([kept.id]), 0), 0)
  time.now += 10_000
  await store.writeContent(digestOf('new'), 3, body('new'))
  const freed = await store.collect(new Set([kept.id]), 0)
  assert.ok(freed > 8, String(freed))
  assert.equal(await store.open(old.id), null)
  assert.equal(await (await store.open(kept.id))?.readText('b'), 'shared')
  assert.deepEqual(await store.missing(['old', 'kept', 'shared', 'new'].map(digestOf)), [
    digestOf('old'),
  ])
  assert.deepEqual(await readdir(join(root, 'tmp')), [])
})

test('a content that a client was told is there stays until its save, whatever collects meanwhile', async () => {
  const { store, time } = await newStore({ graceMs: 1000 })
  await store.writeContent(digestOf('x'), 1, body('x'))
  time.now += 10_000
  assert.deepEqual(await store.missing([digestOf('x')]), [])
  const [, saved] = await Promise.all([store.collect(new Set(), 0), store.save([file('a')])])
  assert.equal(await (await store.open(saved.id))?.readText('a'), 'x')
})

test('saving a known tree again makes it young', async () => {
  const { store, time, root } = await newStore({ graceMs: 1000 })
  await store.writeContent(digestOf('x'), 1, body('x'))
  const { id } = await store.save([file('a')])
  await utimes(join(root, 'trees', `${id.slice(7)}.json`), 1, 1)
  time.now += 10_000
  await store.save([file('a')])
  await store.collect(new Set(), 0)
  assert.notEqual(await store.open(id), null)
})
