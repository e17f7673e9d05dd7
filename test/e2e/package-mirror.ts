import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { findAptHelper } from '../../src/debian/apt-host.ts'
import { hostSources, sourcesText } from '../../src/debian/apt-sources.ts'
import { AptTransport, FetchTransport, type Transport } from '../../src/debian/transport.ts'
import { silentLog } from '../../src/lib/log.ts'

/** What a company's mirror is to a cluster that reaches nothing else: this host's Debian archives passed on, and Python packages that pip has fetched. */
export interface PackageMirror {
  /** URL of an index (PEP 503). */
  readonly pipIndex: string
  /** As sources.list(5), signed by the keys of the archives themselves. */
  readonly aptSources: string
  close(): Promise<void>
}

const MAX_FILE = 2 ** 30

/** @param host address on which it listens; @param wheels folder of what `pip download` wrote; @param scratch is its own */
export async function startPackageMirror(
  host: string,
  wheels: string,
  scratch: string,
): Promise<PackageMirror> {
  await mkdir(scratch, { recursive: true })
  const sources = (await hostSources('/etc/apt', silentLog)).filter(({ uri }) =>
    /^https?:.*\/debian(?:-security)?$/.test(uri),
  )
  const upstreams = [...new Set(sources.map(({ uri }) => uri))]
  const helper = findAptHelper()
  const transport = helper === null ? new FetchTransport(fetch) : new AptTransport(helper)
  const server = createServer((request, response) => {
    answer({ upstreams, transport, wheels, scratch }, request, response).catch((error: unknown) => {
      response.destroy(error instanceof Error ? error : new Error(String(error)))
    })
  })
  const listening = once(server, 'listening')
  server.listen({ host, port: 0 })
  await listening
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a server without a port')
  const base = `http://${host}:${String(address.port)}`
  return {
    pipIndex: `${base}/simple/`,
    aptSources: sourcesText(
      sources.map((source) => ({
        ...source,
        uri: `${base}/apt/${String(upstreams.indexOf(source.uri))}`,
      })),
    ),
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

interface Places {
  readonly upstreams: readonly string[]
  readonly transport: Transport
  readonly wheels: string
  readonly scratch: string
}

async function answer(
  places: Places,
  { url = '/' }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [, index, path] = /^\/apt\/(\d+)\/(.+)$/.exec(url) ?? []
  const upstream = places.upstreams[Number(index)]
  if (upstream !== undefined) await passOn(places, `${upstream}/${path ?? ''}`, response)
  else await answerPip(places.wheels, decodeURIComponent(url), response)
}

async function passOn(
  { transport, scratch }: Places,
  url: string,
  response: ServerResponse,
): Promise<void> {
  const file = join(scratch, randomUUID())
  const [reason] = await transport.download([{ url, path: file, maxSize: MAX_FILE }])
  if (reason !== null) response.writeHead(404).end(reason)
  else await pipeline(createReadStream(file), response.writeHead(200))
  await rm(file, { force: true })
}

/** A project's page names its files; the files lie beside it. */
async function answerPip(wheels: string, path: string, response: ServerResponse): Promise<void> {
  const [, project = '', file = ''] = /^\/simple\/([a-z0-9-]+)\/([\w.+-]*)$/.exec(path) ?? []
  const own = (await readdir(wheels)).filter((name) => projectOf(name) === project)
  if (own.length === 0) response.writeHead(404).end()
  else if (file === '') {
    const links = own.map((name) => `<a href="${name}">${name}</a>`).join('\n')
    response.writeHead(200, { 'content-type': 'text/html' }).end(`<!DOCTYPE html>\n${links}\n`)
  } else if (own.includes(file))
    await pipeline(createReadStream(join(wheels, file)), response.writeHead(200))
  else response.writeHead(404).end()
}

/** 'Flask_Cors-1.0-py3-none-any.whl' to 'flask-cors' (PEP 503). */
function projectOf(file: string): string {
  return (/^(.+?)-\d/.exec(file)?.[1] ?? '').toLowerCase().replace(/[-_.]+/g, '-')
}
