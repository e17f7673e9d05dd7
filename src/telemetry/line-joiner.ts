import type { LogLine } from '../model/runner.ts'
import type { CriLine } from './cri-line.ts'

/** Longest line that is shown as one; what is longer goes on in the next. */
export const MAX_LINE_BYTES = 16 * 1024
/** Newer lines that wait at most for the older parts of one of them. */
const MAX_WAITING = 64

export interface JoinedLine {
  readonly time: number
  readonly stream: LogLine['stream']
  readonly text: string
}

/** Joins the parts of a line, oldest part first, into lines of at most 16 KB. Parts are joined as bytes: they may end inside a character. */
export function joinParts(parts: readonly CriLine[]): readonly JoinedLine[] {
  const groups: CriLine[][] = []
  let size = 0
  for (const part of parts) {
    const last = groups.at(-1)
    size += part.text.length
    if (last !== undefined && size <= MAX_LINE_BYTES) last.push(part)
    else {
      groups.push([part])
      size = part.text.length
    }
  }
  return groups.map((group) => ({
    time: group[0]?.time ?? 0,
    stream: group[0]?.stream ?? 'stdout',
    text: Buffer.concat(group.map(({ text }) => text)).toString('utf8'),
  }))
}

/** Joins lines that come oldest first. A line is given out once its last part is there or 16 KB are full. */
export class ForwardJoiner {
  readonly #open = new Map<LogLine['stream'], CriLine[]>()

  push(line: CriLine): readonly JoinedLine[] {
    const parts = [...(this.#open.get(line.stream) ?? []), line]
    const size = parts.reduce((sum, part) => sum + part.text.length, 0)
    if (line.partial && size < MAX_LINE_BYTES) {
      this.#open.set(line.stream, parts)
      return []
    }
    this.#open.delete(line.stream)
    return joinParts(parts)
  }

  /** What never got its last part. */
  flush(): readonly JoinedLine[] {
    const lines = [...this.#open.values()].flatMap(joinParts)
    this.#open.clear()
    return lines
  }
}

interface Waiting {
  readonly stream: LogLine['stream']
  readonly parts: CriLine[]
  open: boolean
}

/** Joins lines that come newest first: a line may get older parts until the line before it in its stream shows up. */
export class BackwardJoiner {
  #waiting: Waiting[] = []

  push(line: CriLine): readonly JoinedLine[] {
    const open = this.#waiting.find((entry) => entry.open && entry.stream === line.stream)
    if (open !== undefined && line.partial) {
      open.parts.unshift(line)
      if (open.parts.length < MAX_WAITING) return []
      open.open = false
      return this.#ready()
    }
    if (open !== undefined) open.open = false
    this.#waiting.push({ stream: line.stream, parts: [line], open: true })
    const [first] = this.#waiting
    if (first !== undefined && this.#waiting.length > MAX_WAITING) first.open = false
    return this.#ready()
  }

  flush(): readonly JoinedLine[] {
    for (const entry of this.#waiting) entry.open = false
    return this.#ready()
  }

  #ready(): readonly JoinedLine[] {
    const end = this.#waiting.findIndex((entry) => entry.open)
    const ready = this.#waiting.splice(0, end < 0 ? this.#waiting.length : end)
    return ready.flatMap(({ parts }) => [...joinParts(parts)].reverse())
  }
}
