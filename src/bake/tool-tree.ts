import { randomBytes } from 'node:crypto'
import { constants, existsSync } from 'node:fs'
import { chmod, copyFile, mkdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { LayerEntry } from '../oci/layer-entry.ts'
import type { BakeJob } from './bake-job.ts'
import { giveTo } from './owner.ts'
import { debEntries } from './deb-entries.ts'
import { layerKey } from './layer-key.ts'

/** Build-only packages as a folder that a sandbox mounts; it never becomes a layer, so it is neither packed nor hashed. */
export async function toolTree(
  job: BakeJob,
  name: string,
  packages: readonly string[],
  exclude: readonly string[] = [],
): Promise<string> {
  const { cacheDir, architecture, locks } = job.kitchen
  const owner = job.kitchen.sandbox.ownerOffset
  const key = layerKey('tools', { name, packages, exclude, architecture, owner }).slice(-16)
  const folder = join(cacheDir, 'tools', `${name}-${key}`)
  if (await isMarkedUsed(folder, job)) return folder
  return locks.run(`tools ${folder}`, async () => {
    if (existsSync(folder)) return folder
    const archive = await job.kitchen.debian()
    const found = await archive.resolve(packages, { exclude })
    job.step(`build tools: ${name}, ${String(found.length)} Debian packages`)
    await archive.fetchPackages(found, job.signal)
    const files = (await Promise.all(found.map((pkg) => archive.files(pkg)))).flat()
    const entries = debEntries(files.filter(({ path }) => !DOCUMENTATION.test(path)))
    await writeTree(folder, entries, owner)
    return folder
  })
}

/** Garbage collection takes what was not used for long. False where it is missing. */
async function isMarkedUsed(folder: string, { kitchen }: BakeJob): Promise<boolean> {
  if (!existsSync(folder)) return false
  const now = kitchen.now() / 1000
  await utimes(folder, now, now)
  return true
}

/** A shell and the usual small programs, for scripts of packages; nothing where steps run on the host itself. */
export async function shellTools(job: BakeJob): Promise<readonly string[]> {
  if (job.kitchen.sandbox.flavour === 'host') return []
  return [await toolTree(job, 'shell', SHELL_PACKAGES, SHELL_WITHOUT)]
}

/** Writes entries below a new folder, all or nothing; everything belongs to root inside a sandbox. */
export async function writeTree(
  folder: string,
  entries: readonly LayerEntry[],
  owner: number,
): Promise<void> {
  const temporary = `${folder}.${randomBytes(4).toString('hex')}.tmp`
  await mkdir(temporary, { recursive: true, mode: 0o755 })
  try {
    for (const entry of entries) await writeEntry(temporary, entry)
    await giveTo(temporary, owner)
    await rename(temporary, folder)
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

const SHELL_PACKAGES = ['dash', 'coreutils', 'sed', 'grep', 'findutils', 'tar', 'gzip', 'bash']
const SHELL_WITHOUT = ['dpkg', 'debconf', 'debianutils', 'base-files']

const DOCUMENTATION = /^\/usr\/share\/(?:doc|man|info|locale|lintian)\//

async function writeEntry(folder: string, entry: LayerEntry): Promise<void> {
  const path = join(folder, entry.path)
  await mkdir(entry.type === 'directory' ? path : dirname(path), { recursive: true, mode: 0o755 })
  if (entry.type === 'symlink') await symlink(entry.target, path)
  if (entry.type !== 'file') return
  if ('bytes' in entry.content) await writeFile(path, entry.content.bytes)
  else await copyFile(entry.content.file, path, constants.COPYFILE_FICLONE)
  await chmod(path, entry.mode)
}
