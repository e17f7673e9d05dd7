import { open, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { minimalEnv, run, start } from '../../src/lib/process.ts'
import { inside } from './namespaces.ts'

const CTR = ['-a', '/run/containerd/containerd.sock', '-n', 'k8s.io', 'images']

/**
 * Gives a node an image; pods use it by the name that the archive carries (`org.opencontainers.image.ref.name` with registry and tag).
 * @param source a tar of an OCI layout or of `docker save`, or a layout's folder
 * @param name what an image is called that carries only a tag, such as `registry.test/app`
 */
export async function importOnNode(pid: number, source: string, name?: string): Promise<void> {
  if (!(await stat(source)).isDirectory()) return importArchive(pid, source, name)
  const work = await mkdtemp(join(tmpdir(), 'fairway-layout-'))
  try {
    const archive = join(work, 'layout.tar')
    await run('tar', ['-C', source, '-cf', archive, '.'])
    await importArchive(pid, archive, name)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function importArchive(pid: number, archive: string, name?: string): Promise<void> {
  const based = name === undefined ? [] : ['--base-name', name]
  const [program = '', ...args] = inside(pid, 'ctr', [...CTR, 'import', ...based, '-'])
  const file = await open(archive)
  try {
    const child = await start(program, args, {
      env: minimalEnv(),
      stdio: [file.fd, 'ignore', 'pipe'],
    })
    const said: Buffer[] = []
    child.stderr?.on('data', (chunk: Buffer) => said.push(chunk))
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
    if (code !== 0) throw new Error(`${archive}: ${Buffer.concat(said).toString().trim()}`)
  } finally {
    await file.close()
  }
}
