import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'

export interface Seen {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export interface ScriptedServer {
  readonly url: string
  readonly seen: Seen[]
  close(): Promise<void>
}

/** What to answer: a value as JSON, lines as ndjson (`cut` breaks the connection after them), or anything by hand. */
export type Script =
  | { readonly status?: number; readonly json: unknown }
  | { readonly lines: readonly unknown[]; readonly cut?: boolean; readonly hold?: boolean }
  | { readonly by: (request: IncomingMessage, response: ServerResponse) => void }

/** A server on a free port of loopback that answers each `METHOD /path` with its scripts in turn, the last one for ever. */
export async function scriptedServer(
  scripts: Readonly<Record<string, readonly Script[]>>,
): Promise<ScriptedServer> {
  const seen: Seen[] = []
  const turns = new Map<string, number>()
  const server = createServer((request, response) => {
    const key = `${request.method ?? ''} ${(request.url ?? '').split('?')[0] ?? ''}`
    const turn = turns.get(key) ?? 0
    turns.set(key, turn + 1)
    const script = scripts[key]?.[turn] ?? scripts[key]?.at(-1)
    if (script !== undefined && 'by' in script) {
      script.by(request, response)
      return
    }
    void bodyOf(request).then((body) => {
      const { method = '', url = '', headers } = request
      seen.push({ method, path: url, headers, body })
      answer(response, script ?? { status: 404, json: problemBody('NOT_FOUND', `no ${key}`) })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('not listening')
  return {
    url: `http://127.0.0.1:${address.port}`,
    seen,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export function problemBody(
  code: string,
  message: string,
  details: Readonly<Record<string, unknown>> = {},
): unknown {
  return { error: { code, message, hint: `hint of ${code}`, details } }
}

function answer(response: ServerResponse, script: Exclude<Script, { by: unknown }>): void {
  if ('json' in script) {
    response.writeHead(script.status ?? 200, { 'content-type': 'application/json' })
    response.end(script.json === undefined ? '' : JSON.stringify(script.json))
    return
  }
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  for (const line of script.lines) response.write(`${JSON.stringify(line)}\n`)
  if (script.cut === true) setImmediate(() => response.destroy())
  else if (script.hold !== true) response.end()
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}
