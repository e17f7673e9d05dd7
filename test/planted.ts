import { lstat, readdir, readFile, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { isInMemory } from '../src/lib/memory-files.ts'
import { isMissing } from '../src/lib/atomic-file.ts'
import { listPids, readProc } from '../src/lib/process-identity.ts'

/** A mounted image: what is written through it lies in a folder beside it. */
const OVERLAY = 0x794c7630

/** Files below the folders, on a disk, whose bytes hold one of the marks: as they are, or in base64 or hex. What lies in memory is left out. */
export async function filesWith(
  folders: readonly string[],
  marks: readonly string[],
): Promise<string[]> {
  const needles = marks.flatMap(forms)
  const found: string[] = []
  const look = async (path: string): Promise<void> => {
    const about = await lstat(path)
    if (about.isDirectory()) {
      if ((await isInMemory(path)) || (await statfs(path)).type === OVERLAY) return
      for (const name of await readdir(path)) await look(join(path, name)).catch(ifMissing)
    } else if (about.isFile()) {
      const bytes = await readFile(path)
      if (needles.some((needle) => bytes.includes(needle))) found.push(path)
    }
  }
  for (const folder of folders) await look(folder).catch(ifMissing)
  return found
}

/** Command lines of all processes of this machine that hold one of the marks. */
export async function argumentsWith(marks: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const pid of await listPids()) {
    if (pid === process.pid) continue
    const command = (await readProc(pid, 'cmdline').catch(() => null)) ?? ''
    if (marks.some((mark) => command.includes(mark))) found.push(command)
  }
  return found
}

/** Base64 has three forms of the same bytes, by where they begin; of each the part that does not depend on what is around. */
function forms(mark: string): Buffer[] {
  const bytes = Buffer.from(mark)
  const base64 = [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64')
    return text.replaceAll('=', '').slice(shift === 0 ? 0 : shift + 1, -2)
  })
  return [mark, bytes.toString('hex'), ...base64].map((text) => Buffer.from(text))
}

function ifMissing(error: unknown): void {
  if (!isMissing(error)) throw error
}
