import { createHash } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { run } from '../../src/lib/process.ts'
import { goArchitecture } from '../../src/oci/image-config.ts'

export interface ArchiveOptions {
  /** Full name with tag, as pods will write it. */
  readonly reference: string
  /** Path in the image -> file of the host; all of them executable. */
  readonly files: Readonly<Record<string, string>>
  /** Path in the image -> where it points. */
  readonly links?: Readonly<Record<string, string>>
  readonly entrypoint: readonly string[]
  /** `uid:gid`; default root. */
  readonly user?: string
}

/** Writes a tar of an OCI image layout (image-spec image-layout.md) with a single layer; the same input gives the same image. */
export async function writeImageArchive(path: string, options: ArchiveOptions): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'fairway-image-'))
  try {
    const layer = await makeLayer(work, options)
    const layout = join(work, 'layout')
    await writeLayout(layout, layer, options)
    await mkdir(dirname(path), { recursive: true })
    const draft = `${path}.${String(process.pid)}`
    await run('tar', ['-C', layout, '-cf', draft, 'oci-layout', 'index.json', 'blobs'])
    await rename(draft, path)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function makeLayer(work: string, { files, links = {} }: ArchiveOptions): Promise<Buffer> {
  const root = join(work, 'root')
  await mkdir(join(root, 'tmp'), { recursive: true })
  for (const [inside, source] of Object.entries(files)) {
    await mkdir(dirname(join(root, inside)), { recursive: true })
    await copyFile(source, join(root, inside))
  }
  for (const [inside, target] of Object.entries(links)) {
    await mkdir(dirname(join(root, inside)), { recursive: true })
    await run('ln', ['-s', target, join(root, inside)])
  }
  const tar = join(work, 'layer.tar')
  await run('tar', [
    ...['-C', root, '--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'],
    ...['--mode=a+rx,u+w', '--format=gnu', '-cf', tar, '.'],
  ])
  return readFile(tar)
}

async function writeLayout(layout: string, layer: Buffer, options: ArchiveOptions): Promise<void> {
  const blobs = join(layout, 'blobs', 'sha256')
  await mkdir(blobs, { recursive: true })
  const put = async (mediaType: string, data: Buffer): Promise<object> => {
    const hex = createHash('sha256').update(data).digest('hex')
    await writeFile(join(blobs, hex), data)
    return { mediaType, digest: `sha256:${hex}`, size: data.length }
  }
  const diffId = `sha256:${createHash('sha256').update(layer).digest('hex')}`
  const config = await put(
    'application/vnd.oci.image.config.v1+json',
    encode(imageConfig(diffId, options)),
  )
  const manifest = await put(
    'application/vnd.oci.image.manifest.v1+json',
    encode({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config,
      layers: [await put('application/vnd.oci.image.layer.v1.tar', layer)],
    }),
  )
  const annotations = {
    'io.containerd.image.name': options.reference,
    'org.opencontainers.image.ref.name': options.reference,
  }
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] }
  await writeFile(join(layout, 'index.json'), encode(index))
  await writeFile(join(layout, 'oci-layout'), encode({ imageLayoutVersion: '1.0.0' }))
}

function imageConfig(diffId: string, { entrypoint, user }: ArchiveOptions): object {
  return {
    architecture: goArchitecture(process.arch),
    os: 'linux',
    config: {
      Entrypoint: entrypoint,
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      WorkingDir: '/',
      ...(user === undefined ? {} : { User: user }),
    },
    rootfs: { type: 'layers', diff_ids: [diffId] },
  }
}

function encode(value: object): Buffer {
  return Buffer.from(JSON.stringify(value))
}
