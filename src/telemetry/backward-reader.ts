import { open, type FileHandle } from 'node:fs/promises'
import { isMissing } from '../lib/atomic-file.ts'
import { parseCriLine } from './cri-line.ts'
import type { LogFile } from './instance-log.ts'
import { BackwardJoiner, type JoinedLine } from './line-joiner.ts'

const CHUNK = 64 * 1024
/** A physical line longer than this is no log line; it is cut. */
const MAX_PHYSICAL = 1 << 20

/** Lines of the files, newest first; reads only as far back as it is asked for. Ends are the sizes that the files had when they were listed. */
export async function* readBackwards(files: readonly LogFile[]): AsyncGenerator<JoinedLine> {
  const joiner = new BackwardJoiner()
  let time = files[0]?.modifiedAt ?? 0
  for (const file of files) {
    for await (const bytes of physicalLines(file)) {
      const line = parseCriLine(bytes, time)
      time = line.time
      yield* joiner.push(line)
    }
  }
  yield* joiner.flush()
}

async function* physicalLines(file: LogFile): AsyncGenerator<Buffer> {
  const handle = await openIfExists(file.path)
  if (handle === null) return
  try {
    let rest: Buffer = Buffer.alloc(0)
    let position = file.size
    let atEnd = true
    while (position > 0) {
      const start = Math.max(0, position - CHUNK)
      const chunk = await readFully(handle, start, position - start)
      position = start
      let text = rest.length === 0 ? chunk : Buffer.concat([chunk, rest])
      let end = text.lastIndexOf(10)
      while (end >= 0) {
        const line = text.subarray(end + 1)
        // What follows the last line break is still being written.
        if (!atEnd) yield line
        atEnd = false
        text = text.subarray(0, end)
        end = text.lastIndexOf(10)
      }
      rest = text.length > MAX_PHYSICAL ? text.subarray(-MAX_PHYSICAL) : Buffer.from(text)
    }
    if (rest.length > 0 && !atEnd) yield rest
  } finally {
    await handle.close()
  }
}

async function readFully(handle: FileHandle, start: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  let read = 0
  while (read < length) {
    const { bytesRead } = await handle.read(buffer, read, length - read, start + read)
    if (bytesRead === 0) break
    read += bytesRead
  }
  return buffer.subarray(0, read)
}

async function openIfExists(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r')
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}
