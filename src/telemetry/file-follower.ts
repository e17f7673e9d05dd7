import { open, stat, type FileHandle } from 'node:fs/promises'
import { isMissing } from '../lib/atomic-file.ts'
import { parseCriLine } from './cri-line.ts'
import { ForwardJoiner, type JoinedLine } from './line-joiner.ts'

const CHUNK = 64 * 1024
const MAX_PHYSICAL = 1 << 20

interface OpenFile {
  readonly handle: FileHandle
  readonly inode: number
  position: number
  rest: Buffer
}

export interface FollowFrom {
  readonly inode: number
  readonly position: number
}

/**
 * Reads what is appended to one log file, through rotation: the old file is read to its end before the new one. A writer may go on
 * writing to the renamed file for a moment, so it is read once more after the switch.
 */
export class FileFollower {
  readonly #path: string
  readonly #joiner = new ForwardJoiner()
  /** Where reading begins, in which file; null = at the beginning of whatever is there. */
  #from: FollowFrom | null
  #current: OpenFile | null = null
  #retired: OpenFile | null = null
  #time: number

  constructor(path: string, from: FollowFrom | null, now: number) {
    this.#path = path
    this.#from = from
    this.#time = now
  }

  /** New lines since the last call. */
  async read(): Promise<readonly JoinedLine[]> {
    const lines: JoinedLine[] = []
    if (this.#retired !== null) {
      await this.#drain(this.#retired, lines)
      await this.#retired.handle.close()
      this.#retired = null
    }
    this.#current ??= await this.#open()
    if (this.#current === null) return lines
    await this.#drain(this.#current, lines)
    const inode = await inodeOf(this.#path)
    if (inode === null || inode === this.#current.inode) return lines
    await this.#drain(this.#current, lines)
    this.#retired = this.#current
    this.#current = await this.#open()
    if (this.#current !== null) await this.#drain(this.#current, lines)
    return lines
  }

  /** Parts of lines whose end never came. */
  flush(): readonly JoinedLine[] {
    return this.#joiner.flush()
  }

  async close(): Promise<void> {
    await this.#current?.handle.close()
    await this.#retired?.handle.close()
    this.#current = null
    this.#retired = null
  }

  async #open(): Promise<OpenFile | null> {
    const from = this.#from
    this.#from = null
    const file = await openFile(this.#path)
    if (from === null || file === null) return file
    if (file.inode === from.inode) return { ...file, position: from.position }
    // Rotated since it was listed: what follows the position is in the renamed file.
    const renamed = await openFile(`${this.#path}.1`)
    if (renamed?.inode === from.inode) {
      await file.handle.close()
      return { ...renamed, position: from.position }
    }
    await renamed?.handle.close()
    return file
  }

  async #drain(file: OpenFile, lines: JoinedLine[]): Promise<void> {
    // Cut short in place (copy and truncate): begin again.
    if ((await file.handle.stat()).size < file.position) file.position = 0
    const buffer = Buffer.alloc(CHUNK)
    for (;;) {
      const { bytesRead } = await file.handle.read(buffer, 0, CHUNK, file.position)
      if (bytesRead === 0) return
      file.position += bytesRead
      this.#take(file, buffer.subarray(0, bytesRead), lines)
    }
  }

  #take(file: OpenFile, chunk: Buffer, lines: JoinedLine[]): void {
    let text = Buffer.concat([file.rest, chunk])
    for (let end = text.indexOf(10); end >= 0; end = text.indexOf(10)) {
      const line = parseCriLine(Buffer.from(text.subarray(0, end)), this.#time)
      this.#time = line.time
      lines.push(...this.#joiner.push(line))
      text = text.subarray(end + 1)
    }
    file.rest = text.length > MAX_PHYSICAL ? Buffer.alloc(0) : Buffer.from(text)
  }
}

async function openFile(path: string): Promise<OpenFile | null> {
  try {
    const handle = await open(path, 'r')
    const { ino } = await handle.stat()
    return { handle, inode: ino, position: 0, rest: Buffer.alloc(0) }
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

async function inodeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).ino
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}
