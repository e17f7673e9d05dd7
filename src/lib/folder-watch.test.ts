import assert from 'node:assert/strict'
import { watch } from 'node:fs'
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { FolderWatch, type FolderWatchOptions } from './folder-watch.ts'
import { silentLog } from './log.ts'

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'folder-watch-'))
})
after(() => rm(folder, { recursive: true, force: true }))

const exhausted: FolderWatchOptions['watch'] = () => {
  throw Object.assign(new Error('EMFILE: too many open files, watch'), { code: 'EMFILE' })
}

async function isThere(path: string): Promise<{ done: boolean; value: string }> {
  const done = await access(path).then(
    () => true,
    () => false,
  )
  return { done, value: path }
}

test('wakes when a file appears', async () => {
  const folderWatch = new FolderWatch(folder)
  folderWatch.open()
  const path = join(folder, 'a')
  const waiting = folderWatch.until(undefined, () => isThere(path))
  await writeFile(path, '')
  assert.equal(await waiting, path)
  folderWatch.close()
})

for (const code of ['EMFILE', 'ENOSPC']) {
  test(`without a watch (${code}) it looks from time to time, and says so once`, async () => {
    const said: string[] = []
    const log = { ...silentLog, warn: (_: object, message: string) => said.push(message) }
    const folderWatch = new FolderWatch(folder, {
      log,
      watch: () => {
        throw Object.assign(new Error(code), { code })
      },
    })
    folderWatch.open()
    const path = join(folder, code)
    const waiting = folderWatch.until(undefined, () => isThere(path))
    await writeFile(path, '')
    assert.equal(await waiting, path)
    folderWatch.open()
    folderWatch.close()
    assert.equal(said.length, 1)
    assert.match(said[0] ?? '', /inotify/)
  })
}

test('an aborted wait ends also without a watch', async () => {
  const folderWatch = new FolderWatch(folder, { watch: exhausted })
  folderWatch.open()
  const stop = new AbortController()
  const waiting = folderWatch.until(stop.signal, () => Promise.resolve({ done: false, value: 0 }))
  stop.abort(new Error('enough'))
  await assert.rejects(waiting, /enough/)
})

test('a watch that fails later is given up for looking', async () => {
  const said: string[] = []
  const log = { ...silentLog, warn: (_: object, message: string) => said.push(message) }
  let fail: (error: Error) => void = () => undefined
  const folderWatch = new FolderWatch(folder, {
    log,
    watch: (path, options, listener) => {
      const watcher = watch(path, options, listener)
      fail = (error) => watcher.emit('error', error)
      return watcher
    },
  })
  folderWatch.open()
  fail(new Error('watch lost'))
  const path = join(folder, 'late')
  const waiting = folderWatch.until(undefined, () => isThere(path))
  await writeFile(path, '')
  assert.equal(await waiting, path)
  folderWatch.close()
  assert.equal(said.length, 1)
})

test('another failure is told: the folder is missing', () => {
  assert.throws(() => new FolderWatch(join(folder, 'missing')).open(), /ENOENT/)
})
