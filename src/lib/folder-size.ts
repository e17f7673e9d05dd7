import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing } from './atomic-file.ts'

/** Bytes on disk below a folder, links not followed; what vanishes meanwhile counts as nothing. */
export async function folderSize(folder: string): Promise<number> {
  let bytes = 0
  try {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name)
      bytes += entry.isDirectory() ? await folderSize(path) : await sizeOf(path)
    }
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  return bytes
}

/** Resolves once the folders together have grown by more than `limit` bytes; never before `signal` aborts otherwise. */
export async function untilGrown(
  folders: readonly string[],
  limit: number,
  signal: AbortSignal,
): Promise<void> {
  const total = async (): Promise<number> =>
    (await Promise.all(folders.map(folderSize))).reduce((sum, bytes) => sum + bytes, 0)
  const before = await total()
  while (!signal.aborted) {
    const started = performance.now()
    if ((await total()) - before > limit) return
    // Looking costs more in larger trees: it never takes more than a twentieth of the time.
    await wait(Math.max(500, (performance.now() - started) * 20), signal)
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await lstat(path)).blocks * 512
  } catch (error) {
    if (isMissing(error)) return 0
    throw error
  }
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}
