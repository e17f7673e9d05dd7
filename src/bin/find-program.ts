import { realpath } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { identify, listPids, readProc, type ProcessIdentity } from '../lib/process-identity.ts'

interface Wanted {
  readonly name: 'server' | 'router'
  /** Folder of its pid file, in the data folder. */
  readonly folder: string
}

/** A program of this data folder whose pid file is lost or damaged, by what the system knows of it; null where none runs, or where there is no /proc. */
export async function findProgram(wanted: Wanted): Promise<ProcessIdentity | null> {
  for (const pid of await listPids()) {
    if (pid === process.pid) continue
    const argv = (await readProc(pid, 'cmdline'))?.split('\0') ?? []
    if (!argv.slice(1, 8).some((argument) => basename(argument) === `${wanted.name}.ts`)) continue
    if ((await sameFolder(pid, wanted)) === true) return identify(pid)
  }
  return null
}

/** False where the process says that it serves another data folder: its pid file came here with a copy. Null where it does not say. */
export async function sameFolder(pid: number, { folder }: Wanted): Promise<boolean | null> {
  const prefix = 'FAIRWAY_DATA_DIR='
  const entries = (await readProc(pid, 'environ'))?.split('\0') ?? []
  const own = entries.find((entry) => entry.startsWith(prefix))?.slice(prefix.length)
  if (own === undefined) return null
  return (await real(own)) === (await real(dirname(folder)))
}

async function real(path: string): Promise<string> {
  return realpath(path).catch(() => path)
}
