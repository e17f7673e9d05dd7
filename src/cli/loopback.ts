import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { PAGE_HEADERS, pageHtml, type PlainPage } from '../lib/plain-page.ts'

/** Where the browser brings the end of a login: RFC 8252, section 7.3. */
export interface Loopback {
  readonly port: number
  /** The code, or null where the login failed and the server knows why. Rejects where nobody came in time. */
  arrived(timeoutMs: number): Promise<string | null>
  close(): void
}

const DONE: PlainPage = {
  title: 'Logged in',
  paragraphs: ['You can close this window and go back to the command line.'],
  tone: 'good',
}
const FAILED: PlainPage = {
  title: 'Not logged in',
  paragraphs: ['The command line tells why. You can close this window.'],
  tone: 'bad',
}
const NOT_OURS: PlainPage = {
  title: 'Nothing here',
  paragraphs: ['This address is only for the end of a login that the command line began.'],
}

/** Listens on a free port of 127.0.0.1 for the one request that carries `state`; others change nothing. */
export async function openLoopback(state: string): Promise<Loopback> {
  const { promise, resolve } = Promise.withResolvers<string | null>()
  const server = createServer({ headersTimeout: 10_000 }, (request, response) => {
    const code = codeOf(request, state, portOf(server))
    if (code !== undefined) resolve(code)
    const page = code === undefined ? NOT_OURS : code === null ? FAILED : DONE
    send(response, code === undefined ? 404 : 200, page)
  })
  await new Promise<void>((listening, failed) => {
    server.once('error', failed)
    server.listen(0, '127.0.0.1', listening)
  })
  return {
    port: portOf(server),
    arrived: (timeoutMs) => within(promise, timeoutMs),
    close: () => {
      server.close()
      // The browser keeps its connection; answers under way are small and written already.
      server.closeIdleConnections()
      setTimeout(() => server.closeAllConnections(), 500).unref()
    },
  }
}

/** Undefined for any other request. A page that points its own name at 127.0.0.1 carries that name in Host. */
function codeOf(request: IncomingMessage, state: string, port: number): string | null | undefined {
  const { method, headers, url = '' } = request
  if (method !== 'GET' || headers.host !== `127.0.0.1:${port}`) return undefined
  const { pathname, searchParams } = new URL(url, 'http://127.0.0.1')
  if (pathname !== '/callback' || searchParams.get('state') !== state) return undefined
  return searchParams.get('code')
}

function send(response: ServerResponse, status: number, page: PlainPage): void {
  response.writeHead(status, { ...PAGE_HEADERS, connection: 'close' })
  response.end(pageHtml(page))
}

function portOf(server: Server): number {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('nobody finished the login in time')), timeoutMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
