import { open } from 'node:fs/promises'
import type { SourceTree } from '../model/source.ts'

/** A source as the recognition sees it: only names and the first bytes of few files are read. */
export interface SourceView {
  /** Files and links, '/'-separated, relative to the root of the view, sorted. */
  paths(): readonly string[]
  isExecutable(path: string): boolean
  /** Size in bytes, null where there is no such file. */
  size(path: string): number | null
  /** UTF-8 text of at most 1 MiB; null where the path is absent or no file. */
  readText(path: string): Promise<string | null>
  /** Up to `length` bytes from `offset` (negative: from the end); null where the path is absent or no file. */
  readBytes(path: string, offset: number, length: number): Promise<Buffer | null>
}

/** A packed source as a view. */
export function viewOf(tree: SourceTree): SourceView {
  const entries = new Map(tree.entries.map((entry) => [entry.path, entry]))
  const fileAt = (path: string) => {
    const entry = entries.get(path)
    return entry?.type === 'file' ? entry : null
  }
  return {
    paths: () => [...entries.keys()],
    isExecutable: (path) => fileAt(path)?.executable ?? false,
    size: (path) => fileAt(path)?.size ?? null,
    readText: (path) => tree.readText(path),
    readBytes: async (path, offset, length) => {
      const entry = fileAt(path)
      if (entry === null) return null
      const start = offset < 0 ? Math.max(0, entry.size + offset) : offset
      return readRange(tree.contentPath(entry.digest), start, length)
    },
  }
}

/** The part of a view below a folder, as a view of its own. '.' = all of it. */
export function below(view: SourceView, folder: string): SourceView {
  if (folder === '.') return view
  const prefix = `${folder}/`
  return {
    paths: () =>
      view
        .paths()
        .filter((path) => path.startsWith(prefix))
        .map((path) => path.slice(prefix.length)),
    isExecutable: (path) => view.isExecutable(prefix + path),
    size: (path) => view.size(prefix + path),
    readText: (path) => view.readText(prefix + path),
    readBytes: (path, offset, length) => view.readBytes(prefix + path, offset, length),
  }
}

async function readRange(path: string, start: number, length: number): Promise<Buffer> {
  const file = await open(path, 'r')
  try {
    const buffer = Buffer.alloc(length)
    const { bytesRead } = await file.read(buffer, 0, length, start)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}
