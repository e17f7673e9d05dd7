import { constants } from 'node:fs'
import { access, mkdtemp, open, readFile, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { FairwayError } from '../model/errors.ts'

/**
 * Gives `use` a file of mode 0600 in memory (tmpfs) with this text, and what became of it afterwards; then overwrites and removes it, whatever happens.
 * @throws FairwayError RUNNER_UNAVAILABLE where the machine has no such place
 */
export async function withPrivateCopy(
  {
    path,
    text,
    encoding,
  }: { readonly path: string; readonly text: string; readonly encoding: 'utf8' | 'latin1' },
  { env }: { readonly env: Readonly<Record<string, string | undefined>> },
  use: (copy: string) => Promise<void>,
): Promise<string> {
  const folder = await mkdtemp(join(await memoryFolder(env['XDG_RUNTIME_DIR']), 'fairway-secrets-'))
  const copy = join(folder, basename(path))
  try {
    const file = await open(copy, 'wx', 0o600)
    await file.writeFile(text, encoding)
    await file.close()
    await use(copy)
    return await readFile(copy, encoding)
  } finally {
    await shred(copy)
    await rm(folder, { recursive: true, force: true })
  }
}

async function memoryFolder(runtime: string | undefined): Promise<string> {
  for (const folder of ['/dev/shm', ...(runtime === undefined ? [] : [runtime])]) {
    try {
      await access(folder, constants.W_OK)
      return folder
    } catch {
      // The next place may do.
    }
  }
  throw new FairwayError(
    'RUNNER_UNAVAILABLE',
    'there is no folder in memory (/dev/shm or XDG_RUNTIME_DIR) for a file in clear',
    {
      hint: 'Use `fairway secrets set NAME=-` instead.',
    },
  )
}

/** Editors write a new file in its place; the old one is then theirs. */
async function shred(copy: string): Promise<void> {
  const { size } = await stat(copy)
  const file = await open(copy, 'r+')
  await file.write(Buffer.alloc(size), 0, size, 0)
  await file.close()
}
