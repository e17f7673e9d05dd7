import type { Recognition } from '../model/build-plan.ts'
import { FairwayError } from '../model/errors.ts'
import { readElf } from './elf.ts'
import type { Detector } from './recognise.ts'
import type { SourceView } from './source-view.ts'

const NAMES = ['server', 'app', 'main', 'web']
const FOLDERS = ['', 'bin/']

export const recogniseBinary: Detector = {
  kind: 'binary',
  looksFor: `an ELF executable: the only one here or in bin/, or one called ${NAMES.join(', ')}`,
  async detect({ view, command }) {
    for (const folder of FOLDERS) {
      const found = await executables(view, folder)
      const binary = choose(found, folder, command)
      if (binary !== undefined) return recognised(view, binary, command)
    }
    return null
  },
}

async function executables(view: SourceView, folder: string): Promise<readonly string[]> {
  const found: string[] = []
  for (const path of view.paths()) {
    if (!path.startsWith(folder) || path.slice(folder.length).includes('/')) continue
    const magic = await view.readBytes(path, 0, 4)
    if (magic?.toString('latin1') === '\x7fELF') found.push(path)
  }
  return found
}

function choose(
  found: readonly string[],
  folder: string,
  command: readonly string[] | null,
): string | undefined {
  const named = found.find((path) => path === command?.[0]?.replace(/^(?:\.\/|\/app\/)/, ''))
  if (named !== undefined || found.length === 1) return named ?? found[0]
  const byName = NAMES.map((name) => `${folder}${name}`).find((path) => found.includes(path))
  if (byName !== undefined || found.length === 0) return byName
  throw new FairwayError('UNRECOGNISED_SOURCE', `several programs are here: ${found.join(', ')}`, {
    hint: `Say which one runs, with a Procfile: "web: ./${found[0] ?? ''}".`,
  })
}

async function recognised(
  view: SourceView,
  path: string,
  command: readonly string[] | null,
): Promise<Recognition | null> {
  const elf = await readElf((offset, length) => view.readBytes(path, offset, length))
  if (elf?.type !== 'executable') return null
  const linkage = elf.interpreter === null ? 'static' : `needs ${elf.interpreter}`
  return {
    plan: { kind: 'binary', binary: path, command: command ?? [`./${path}`] },
    evidence: `ELF executable ${path} (${elf.machine}, ${linkage})`,
  }
}
