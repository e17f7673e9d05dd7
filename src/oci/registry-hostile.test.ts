import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { BlobStore } from './blob-store.ts'
import { copyImage } from './image-importer.ts'
import { MEDIA_TYPES } from './media-type.ts'
import { parseReference } from './reference.ts'
import { RegistryClient } from './registry-client.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

let folder = ''
let blobs: BlobStore
let count = 0
let answer: Answer = () => undefined
const seen: { readonly url: string; readonly authorization: string | undefined }[] = []
const servers: Server[] = []
let host = ''
let elsewhere = ''

async function serve(address: string, name: string): Promise<string> {
  const server = createServer((request, response) => {
    const { authorization } = request.headers
    seen.push({ url: `${name}${request.url ?? ''}`, authorization })
    answer(request, response)
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, address, resolve))
  return `${address}:${String((server.address() as AddressInfo).port)}`
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fairway-hostile-registry-'))
  blobs = new BlobStore(join(folder, 'blobs'), () => join(folder, `draft-${String(count++)}`))
  host = await serve('127.0.0.1', 'registry')
  elsewhere = await serve('127.0.0.2', 'elsewhere')
})
after(async () => {
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
  await rm(folder, { recursive: true, force: true })
})

/** Short only where it is that limit which ends the pull: a machine that does much else lets an honest answer wait as well. */
interface Limits {
  readonly idleMs?: number
  readonly documentMs?: number
}

async function pull({ idleMs = 15_000, documentMs = 15_000 }: Limits = {}): Promise<unknown> {
  const client = new RegistryClient(parseReference(`${host}/team/app:1`), 'pull', {
    auth: { username: 'ann', password: 'secret' },
    idleMs,
    documentMs,
  })
  const { descriptor, bytes } = await client.resolve()
  await blobs.write([bytes], { digest: descriptor.digest })
  return copyImage(descriptor, {
    blobs,
    source: client,
    platform: { os: 'linux', architecture: 'amd64' },
    now: () => Date.now(),
  })
}

async function nothingLeft(): Promise<void> {
  assert.deepEqual(
    (await readdir(folder)).filter((name) => name.startsWith('draft-')),
    [],
  )
}

function digestOf(bytes: string | Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

const CONFIG = JSON.stringify({
  architecture: 'amd64',
  os: 'linux',
  rootfs: { type: 'layers', diff_ids: [digestOf('layer')] },
})
const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: MEDIA_TYPES.manifest,
  config: {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    digest: digestOf(CONFIG),
    size: CONFIG.length,
  },
  layers: [
    { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf('layer'), size: 5 },
  ],
})

/** Gives the manifest and the config as they are, and leaves the rest to `other`. */
function honestUpTo(other: Answer): Answer {
  return (request, response) => {
    const type = { 'content-type': MEDIA_TYPES.manifest }
    if (request.url?.includes('/manifests/') === true) response.writeHead(200, type).end(manifest)
    else if (request.url?.includes(digestOf(CONFIG)) === true) response.end(CONFIG)
    else other(request, response)
  }
}

function endlessly(response: ServerResponse, headers: Record<string, string> = {}): void {
  response.writeHead(200, headers)
  const chunk = Buffer.alloc(1 << 20, 'x')
  const more = (): void => {
    while (!response.destroyed && response.write(chunk));
    if (!response.destroyed) response.once('drain', more)
  }
  more()
}

/** A byte at a time, often enough not to be idle. */
function drip(response: ServerResponse, headers: Record<string, string> = {}): void {
  response.writeHead(200, headers)
  const timer = setInterval(() => response.write(' '), 100)
  response.once('close', () => clearInterval(timer))
}

const type = { 'content-type': MEDIA_TYPES.manifest }
const CASES: Readonly<Record<string, readonly [Answer, RegExp, Limits?]>> = {
  'a manifest without end': [(_, response) => endlessly(response, type), /more than \d+ bytes/],
  'a manifest that comes a byte at a time': [
    (_, response) => drip(response, type),
    /within/,
    { documentMs: 800 },
  ],
  'a manifest that stops': [
    (_, response) => response.writeHead(200, type).write('{"schema'),
    /nothing came|within/,
    { documentMs: 800 },
  ],
  'a manifest of another digest than promised': [
    (_, response) =>
      response.writeHead(200, { ...type, 'docker-content-digest': digestOf('x') }).end(manifest),
    /promised/,
  ],
  'a layer of wrong bytes': [honestUpTo((_, response) => response.end('wrong')), /expected sha256/],
  'a layer without end': [honestUpTo((_, response) => endlessly(response)), /more than the 5/],
  'a layer that is too short': [honestUpTo((_, response) => response.end('lay')), /expected 5/],
  'a layer that stops': [
    honestUpTo((_, response) => response.writeHead(200).write('lay')),
    /nothing came|answered 200/,
    { idleMs: 300 },
  ],
  'a redirect in a circle': [
    (request, response) => response.writeHead(307, { location: request.url ?? '' }).end(),
    /from one address to the next/,
  ],
  'a redirect to a file': [
    (_, response) => response.writeHead(307, { location: 'file:///etc/passwd' }).end(),
    /not encrypted/,
  ],
  'a redirect without encryption': [
    (_, response) => response.writeHead(307, { location: 'http://169.254.169.254/' }).end(),
    /not encrypted/,
  ],
  'a token server that belongs to somebody else': [
    (_, response) =>
      response
        .writeHead(401, { 'www-authenticate': 'Bearer realm="http://169.254.169.254/token"' })
        .end(),
    /does not belong|token server/,
  ],
}

for (const [name, [hostile, said, limits]] of Object.entries(CASES)) {
  test(`${name}: refused in time, and nothing is left`, { timeout: 20_000 }, async () => {
    answer = hostile
    await assert.rejects(pull(limits), said)
    await nothingLeft()
  })
}

test('a redirect to another host gets no credentials', async () => {
  seen.length = 0
  answer = (request, response) => {
    const isOurs = request.headers.host === host
    if (isOurs && request.headers.authorization === undefined) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
    } else if (isOurs && request.url?.includes('/blobs/') === true) {
      response.writeHead(307, { location: `http://${elsewhere}${request.url}` }).end()
    } else if (request.url?.includes('/manifests/') === true) {
      response.writeHead(200, type).end(manifest)
    } else response.end(request.url?.includes(digestOf(CONFIG)) === true ? CONFIG : 'layer')
  }
  await pull()
  const there = seen.filter(({ url }) => url.startsWith('elsewhere'))
  assert.ok(there.length > 0)
  assert.ok(there.every(({ authorization }) => authorization === undefined))
})
