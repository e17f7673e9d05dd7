import assert from 'node:assert/strict'
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { isInMemory, swapFiles } from './memory-files.ts'

const files = (entries: Readonly<Record<string, string>>): Map<string, Uint8Array> =>
  new Map(Object.entries(entries).map(([name, text]) => [name, Buffer.from(text)]))

describe('files that are swapped', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fairway-swap-'))
  })
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true })
  })
  const shown = async (): Promise<string[]> =>
    (await readdir(folder)).filter((name) => !name.startsWith('..')).sort()

  it('are read by their names, for their owner alone', async () => {
    await swapFiles(folder, files({ A: '1', 'tls.crt': '' }), null)
    assert.deepEqual(await shown(), ['A', 'tls.crt'])
    assert.equal(await readFile(join(folder, 'A'), 'utf8'), '1')
    assert.equal((await stat(join(folder, 'A'))).mode & 0o777, 0o400)
    assert.equal((await stat(join(folder, '..data'))).mode & 0o777, 0o700)
  })

  it('come and go together, and what else is in the folder stays', async () => {
    await writeFile(join(folder, 'socket'), 'theirs')
    await swapFiles(folder, files({ A: '1', B: '2' }), null)
    await swapFiles(folder, files({ B: '3', C: '4' }), null)
    assert.deepEqual(await shown(), ['B', 'C', 'socket'])
    assert.equal(await readFile(join(folder, 'B'), 'utf8'), '3')
    assert.equal((await readdir(folder)).filter((name) => name.startsWith('..')).length, 2)
  })

  it('are never seen half: all of one version, at any moment', async () => {
    await swapFiles(folder, files({ A: '0', B: '0' }), null)
    const state = { done: false }
    let [looks, last] = [0, '']
    const writing = (async () => {
      // A look may come between every time: then it goes on until one was in time.
      for (let n = 1; n <= 150 || looks === 0; n++) {
        last = String(n)
        await swapFiles(folder, files({ A: last, B: last }), null)
      }
      state.done = true
    })()
    while (!state.done) {
      const data = await mine(join(folder, '..data'))
      if (data === null) continue
      looks++
      assert.equal(data[0], data[1])
    }
    await writing
    assert.ok(looks > 0)
    assert.equal(await readFile(join(folder, 'A'), 'utf8'), last)
  })

  it('are not written through a link, and a swap that was cut off is cleaned up', async () => {
    const victim = join(folder, 'victim')
    await writeFile(victim, 'untouched')
    const inner = join(folder, 'inner')
    await mkdir(inner)
    await symlink(victim, join(inner, 'A'))
    await mkdir(join(inner, '..0123456789abcdef'))
    await symlink('..gone', join(inner, '..fedcba.link'))
    await swapFiles(inner, files({ A: 'new', B: 'new' }), null)
    assert.equal(await readFile(victim, 'utf8'), 'untouched')
    assert.equal(await readFile(join(inner, '..data', 'A'), 'utf8'), 'new')
    assert.equal((await readdir(inner)).filter((name) => name.startsWith('..')).length, 2)
  })

  it('stay as they were where the new ones cannot be written', async () => {
    await swapFiles(folder, files({ A: 'old' }), null)
    await assert.rejects(swapFiles(folder, files({ A: 'new', ['x'.repeat(300)]: 'y' }), null))
    assert.equal(await readFile(join(folder, 'A'), 'utf8'), 'old')
    assert.equal((await readdir(folder)).filter((name) => name.startsWith('..')).length, 2)
  })
})

/** Both files of the folder that the link leads to; null where it was swapped and removed between the two. */
async function mine(data: string): Promise<[string, string] | null> {
  try {
    const version = join(data, '..', await readlink(data))
    return [await readFile(join(version, 'A'), 'utf8'), await readFile(join(version, 'B'), 'utf8')]
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

it(
  'a folder in memory is told from one on a disk',
  { skip: process.platform !== 'linux' },
  async () => {
    assert.equal(await isInMemory('/dev/shm'), true)
    assert.equal(await isInMemory('/proc'), false)
    assert.equal(await isInMemory('/nowhere'), false)
  },
)
