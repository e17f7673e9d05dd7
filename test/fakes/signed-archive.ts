/** A small Debian archive on 127.0.0.1, signed with a key of its own; what it serves can be replaced to play a faulty or hostile one. Needs dpkg-deb. */
import { createHash } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { createCleartextMessage, createMessage, generateKey, sign, type PrivateKey } from 'openpgp'
import { run } from '../../src/lib/process.ts'

export interface PackageRecipe {
  readonly name: string
  readonly version?: string
  readonly architecture?: string
  /** Further control lines, such as `Depends: x`. */
  readonly control?: readonly string[]
  /** Path -> content, or target of a symbolic link. */
  readonly files?: Readonly<Record<string, string | Buffer | { readonly link: string }>>
  readonly compression?: 'gzip' | 'xz' | 'zstd' | 'none'
}

export interface ReleaseRecipe {
  readonly suite?: string
  readonly date?: string
  readonly validUntil?: string
  readonly byHash?: boolean
  /** Key to sign with instead of the archive's own. */
  readonly key?: PrivateKey
  readonly detached?: boolean
  readonly fields?: readonly string[]
}

/** What the tests take for now: a day after the archive was signed. */
export const NOW = Date.parse('2026-03-03T00:00:00Z')
const SIGNED = new Date('2026-03-02T00:00:00Z')

export async function newKey(): Promise<{
  readonly privateKey: PrivateKey
  readonly armored: string
}> {
  const { privateKey, publicKey } = await generateKey({
    type: 'ecc',
    curve: 'ed25519Legacy',
    userIDs: [{ name: 'Archive', email: 'archive@example.test' }],
    date: new Date('2026-01-01T00:00:00Z'),
    format: 'object',
  })
  return { privateKey, armored: publicKey.armor() }
}

export class SignedArchive {
  readonly uri: string
  readonly publicKey: string
  /** Path from the root of the server -> content. */
  readonly files = new Map<string, Buffer>()
  readonly requests: string[] = []
  readonly #server: Server
  readonly #key: PrivateKey

  private constructor(server: Server, key: PrivateKey, publicKey: string, port: number) {
    this.#server = server
    this.#key = key
    this.publicKey = publicKey
    this.uri = `http://127.0.0.1:${port}/debian`
  }

  static async start(): Promise<SignedArchive> {
    // Packages hold files for everybody, whoever builds them.
    process.umask(0o022)
    const { privateKey, armored } = await newKey()
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const archive = new SignedArchive(server, privateKey, armored, port)
    server.on('request', (request, response) => {
      const path = decodeURIComponent(request.url ?? '')
      archive.requests.push(path)
      const content = archive.files.get(path)
      response.writeHead(content === undefined ? 404 : 200)
      response.end(content)
    })
    return archive
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** Puts these packages, and nothing else, into a suite. */
  async publish(recipes: readonly PackageRecipe[], release: ReleaseRecipe = {}): Promise<void> {
    const stanzas: string[] = []
    for (const recipe of recipes) {
      const { deb, control } = await buildDeb(recipe)
      const filename = `pool/main/${recipe.name}_${recipe.version ?? '1'}.deb`
      this.files.set(`/debian/${filename}`, deb)
      const hash = sha256(deb)
      stanzas.push(`${control}Filename: ${filename}\nSize: ${deb.length}\nSHA256: ${hash}\n`)
    }
    await this.publishIndex(stanzas.join('\n'), release)
  }

  async publishIndex(packages: string, release: ReleaseRecipe = {}): Promise<void> {
    const { suite = 'stable', byHash = true } = release
    const folder = `/debian/dists/${suite}`
    const plain = Buffer.from(packages)
    const packed = gzipSync(plain)
    const hashes: string[] = []
    for (const [name, content] of [
      ['Packages', plain],
      ['Packages.gz', packed],
    ] as const) {
      const below = 'main/binary-amd64'
      hashes.push(` ${sha256(content)} ${content.length} ${below}/${name}`)
      this.files.set(`${folder}/${below}/${name}`, content)
      if (byHash) this.files.set(`${folder}/${below}/by-hash/SHA256/${sha256(content)}`, content)
    }
    await this.#sign(folder, releaseText(suite, release, hashes), release)
  }

  async #sign(folder: string, text: string, release: ReleaseRecipe): Promise<void> {
    const signing = { signingKeys: release.key ?? this.#key, date: SIGNED }
    this.files.delete(`${folder}/InRelease`)
    if (release.detached === true) {
      const message = await createMessage({ binary: Buffer.from(text) })
      // The types of a detached signature depend on its input in a way that ends in an unresolved one.
      const signature: unknown = await sign({ message, ...signing, detached: true })
      this.files.set(`${folder}/Release`, Buffer.from(text))
      this.files.set(`${folder}/Release.gpg`, Buffer.from(String(signature)))
      return
    }
    const message = await createCleartextMessage({ text })
    this.files.set(`${folder}/InRelease`, Buffer.from(await sign({ message, ...signing })))
  }
}

function releaseText(suite: string, release: ReleaseRecipe, hashes: readonly string[]): string {
  return [
    'Origin: Test',
    `Suite: ${suite}`,
    `Date: ${release.date ?? SIGNED.toUTCString()}`,
    ...(release.validUntil === undefined ? [] : [`Valid-Until: ${release.validUntil}`]),
    ...(release.byHash === false ? [] : ['Acquire-By-Hash: yes']),
    ...(release.fields ?? []),
    'Architectures: amd64',
    'Components: main',
    'SHA256:',
    ...hashes,
    '',
  ].join('\n')
}

async function buildDeb(recipe: PackageRecipe): Promise<{ deb: Buffer; control: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'deb-'))
  try {
    const { name, version = '1', architecture = 'amd64' } = recipe
    const lines = [`Package: ${name}`, `Version: ${version}`, `Architecture: ${architecture}`]
    const more = [
      'Maintainer: Test <test@example.test>',
      'Description: test',
      ...(recipe.control ?? []),
    ]
    const control = `${[...lines, ...more].join('\n')}\n`
    const root = join(folder, 'root')
    await mkdir(join(root, 'DEBIAN'), { recursive: true, mode: 0o755 })
    await writeFile(join(root, 'DEBIAN/control'), control)
    for (const [path, content] of Object.entries(recipe.files ?? {})) {
      const full = join(root, path)
      await mkdir(dirname(full), { recursive: true })
      if (typeof content === 'string' || Buffer.isBuffer(content)) await writeFile(full, content)
      else await symlink(content.link, full)
    }
    await chmod(root, 0o755)
    const output = join(folder, 'out.deb')
    const packing = [`-Z${recipe.compression ?? 'gzip'}`, '--root-owner-group']
    await run('dpkg-deb', [...packing, '--build', root, output])
    return { deb: await readFile(output), control }
  } finally {
    await rm(folder, { recursive: true })
  }
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
