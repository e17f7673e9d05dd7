import { copyFile, lchown, mkdir, readdir, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { run } from '../src/lib/process.ts'
import { programPath } from '../src/container/program-path.ts'

/** Programs of the host that a sample image is made of, so that no suite needs a network. */
const PROGRAMS = [
  'sh',
  'cat',
  'sleep',
  'id',
  'ls',
  'touch',
  'mount',
  'mkdir',
  'head',
  'dd',
  'stty',
  'ps',
  'perl',
]

/** An unpacked image layer with a shell, small tools and the running node, all owned by `owner`. */
export async function sampleRootfs(folder: string, owner: number): Promise<void> {
  for (const name of ['bin', 'etc', 'tmp', 'app', 'usr']) {
    await mkdir(join(folder, name), { recursive: true })
  }
  await symlink('../bin', join(folder, 'usr/bin'))
  const found = await Promise.all(PROGRAMS.map((name) => programPath(name, ['/usr/bin', '/bin'])))
  const programs = [...found.filter((path) => path !== null), process.execPath]
  const libraries = new Set<string>()
  for (const path of programs) {
    await copyFile(path, join(folder, 'bin', path.split('/').at(-1) ?? ''))
    const listed = await run('ldd', [path])
    for (const match of listed.matchAll(/(\/\S+) \(0x/g)) libraries.add(match[1] ?? '')
  }
  for (const library of libraries) {
    await mkdir(join(folder, dirname(library)), { recursive: true })
    await copyFile(library, join(folder, library))
  }
  if (owner === 0) return
  for (const entry of await readdir(folder, { recursive: true })) {
    await lchown(join(folder, entry), owner, owner)
  }
  await lchown(folder, owner, owner)
}
