import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing } from '../lib/atomic-file.ts'
import { isName } from '../model/names.ts'

/** The log of one instance: its files, and who it was. */
export interface InstanceLog {
  readonly id: string
  readonly process: string
  readonly release: number
  /** Newest first: the current file, then rotated ones. What the platform says has files of its own. */
  readonly files: readonly LogFile[]
  readonly notes: readonly LogFile[]
}

export interface LogFile {
  readonly path: string
  readonly size: number
  readonly modifiedAt: number
  readonly inode: number
}

export interface Described {
  readonly process: string
  readonly release: number
}

/** `<process>-<release>-<random>`; null for anything else. */
export function describeId(id: string): Described | null {
  const match = /^(.+)-(\d{1,9})-[A-Za-z0-9]+$/.exec(id)
  const process = match?.[1] ?? ''
  return match === null || !isName(process) ? null : { process, release: Number(match[2]) }
}

/** Logs of one app in one environment; none where the folder does not exist. */
export async function listInstanceLogs(
  folder: string,
  describe: (id: string) => Described | null,
): Promise<readonly InstanceLog[]> {
  const found = new Map<string, { files: Numbered[]; notes: Numbered[] }>()
  for (const name of await namesIn(folder)) {
    const match = /^(.+)\.(log|notes)(?:\.(\d{1,4}))?$/.exec(name)
    const file = match === null ? null : await fileAt(join(folder, name))
    if (match === null || file === null) continue
    const [, id = '', kind, number = '0'] = match
    const entry = found.get(id) ?? { files: [], notes: [] }
    found.set(id, entry)
    const list = kind === 'log' ? entry.files : entry.notes
    list.push({ number: Number(number), file })
  }
  return [...found].map(([id, { files, notes }]) => ({
    id,
    ...(describe(id) ?? { process: id, release: 0 }),
    files: newestFirst(files),
    notes: newestFirst(notes),
  }))
}

interface Numbered {
  readonly number: number
  readonly file: LogFile
}

function newestFirst(files: readonly Numbered[]): readonly LogFile[] {
  return [...files].sort((a, b) => a.number - b.number).map(({ file }) => file)
}

/** Names in a folder; empty where it does not exist. */
export async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

async function fileAt(path: string): Promise<LogFile | null> {
  try {
    const facts = await stat(path)
    return facts.isFile()
      ? { path, size: facts.size, modifiedAt: facts.mtimeMs, inode: facts.ino }
      : null
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}
