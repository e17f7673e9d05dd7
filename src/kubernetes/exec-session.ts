import { Duplex, PassThrough } from 'node:stream'
import WebSocket, { type RawData } from 'ws'
import { FairwayError } from '../model/errors.ts'
import type { ExitFacts } from '../model/instance.ts'
import type { ExecRequest, ExecSession } from '../model/runner.ts'
import { errorOfConnection, errorOfStatus, type RequestTarget } from './cluster-error.ts'
import { listAt, named, textAt } from './json-value.ts'
import type { Transport } from './transport.ts'

export interface ExecOptions {
  readonly transport: Transport
  /** `/api/v1/namespaces/…/pods/…/exec`. */
  readonly path: string
  readonly container: string
  readonly request: ExecRequest
  readonly target: RequestTarget
}

/** Subprotocols of k8s.io/apimachinery remotecommand: the first byte of a message is its channel; v5 can close one. */
const PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io']
const STDIN = 0
const STDOUT = 1
const STDERR = 2
const STATUS = 3
const RESIZE = 4
const CLOSE = 255
const HANDSHAKE_MS = 15_000

/** Runs a command in a container over a WebSocket. @throws FairwayError CLUSTER_…, NOT_RUNNING */
export async function openExec(options: ExecOptions): Promise<ExecSession> {
  const { transport, target, request } = options
  const socket = new WebSocket(execUrl(options), PROTOCOLS, {
    ...transport.tls(),
    headers: await transport.headers(),
    handshakeTimeout: HANDSHAKE_MS,
    perMessageDeflate: false,
  })
  // Messages may come with the handshake: nothing may be lost between the two.
  const session = new ChannelSession(socket, request.tty)
  await opened(socket, target)
  return session
}

// Private

function execUrl({ transport, path, container, request }: ExecOptions): string {
  const query = new URLSearchParams({ container, stdin: 'true', stdout: 'true' })
  query.set('stderr', String(!request.tty))
  query.set('tty', String(request.tty))
  for (const word of withEnv(request)) query.append('command', word)
  return `${transport.server.replace(/^https:/, 'wss:')}${path}?${query.toString()}`
}

/** The API has no environment for exec: env(1) sets it, where there is anything to set. */
function withEnv({ argv, env }: ExecRequest): readonly string[] {
  const pairs = Object.entries(env).map(([key, value]) => `${key}=${value}`)
  return pairs.length === 0 ? argv : ['env', ...pairs, ...argv]
}

function opened(socket: WebSocket, target: RequestTarget): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', (error) => reject(errorOfConnection(error, target)))
    socket.once('unexpected-response', (_request, response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.once('end', () => {
        socket.terminate()
        reject(refusal(response.statusCode ?? 500, Buffer.concat(chunks).toString('utf8'), target))
      })
    })
  })
}

function refusal(status: number, text: string, target: RequestTarget): FairwayError {
  let body: unknown = { message: text }
  try {
    body = JSON.parse(text)
  } catch {
    // Some answers, such as those of a proxy in between, are plain text.
  }
  if (status === 404) return new FairwayError('NOT_FOUND', textAt(body, 'message') || text)
  if (/container not found|not running|ContainerCreating|completed pod/i.test(text))
    return new FairwayError('NOT_RUNNING', textAt(body, 'message') || text)
  return errorOfStatus(status, body, target)
}

class ChannelSession implements ExecSession {
  readonly stdio: Duplex
  readonly stderr: PassThrough | null
  readonly exit: Promise<ExitFacts>
  readonly #socket: WebSocket
  #status: unknown = null

  constructor(socket: WebSocket, tty: boolean) {
    this.#socket = socket
    this.stderr = tty ? null : new PassThrough()
    this.stdio = this.#makeStdio()
    socket.on('message', (data) => this.#receive(data))
    socket.on('error', () => undefined)
    this.exit = new Promise((resolve) => {
      socket.once('close', () => {
        this.stdio.push(null)
        this.stderr?.end()
        resolve(exitOf(this.#status, Date.now()))
      })
    })
  }

  resize(columns: number, rows: number): void {
    this.#send(RESIZE, Buffer.from(JSON.stringify({ Width: columns, Height: rows })))
  }

  kill(): void {
    this.#socket.terminate()
  }

  #makeStdio(): Duplex {
    return new Duplex({
      allowHalfOpen: true,
      read: () => this.#socket.resume(),
      write: (chunk: Buffer, _encoding, done) => {
        this.#send(STDIN, chunk, done)
      },
      final: (done) => {
        // v4 has no way to end only the input.
        if (this.#socket.protocol.startsWith('v5'))
          this.#send(CLOSE, Buffer.from([STDIN]), () => done())
        else done()
      },
    })
  }

  #receive(data: RawData): void {
    const message = Buffer.isBuffer(data)
      ? data
      : Buffer.concat(Array.isArray(data) ? data : [Buffer.from(data)])
    const content = message.subarray(1)
    const channel = message[0]
    if (channel === STATUS) this.#status = parse(content.toString('utf8'))
    // An empty message only opens the channel.
    if (content.length === 0) return
    if (channel === STDOUT && !this.stdio.push(content)) this.#socket.pause()
    if (channel === STDERR) this.stderr?.write(content)
  }

  #send(channel: number, content: Buffer, done: (error?: Error | null) => void = ignore): void {
    if (this.#socket.readyState !== WebSocket.OPEN) {
      done()
      return
    }
    this.#socket.send(Buffer.concat([Buffer.from([channel]), content]), () => done())
  }
}

function ignore(): void {
  // Input after the end is dropped, as a terminal does.
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** The last message is a Status: success, or a failure with cause ExitCode. None = the connection broke. */
function exitOf(status: unknown, at: number): ExitFacts {
  if (textAt(status, 'status') === 'Success') return { code: 0, signal: null, reason: 'exited', at }
  const causes = listAt(status, 'details', 'causes')
  const code = Number(textAt(named(causes, 'reason', 'ExitCode'), 'message'))
  if (status !== null && causes.length > 0 && Number.isInteger(code))
    return { code, signal: null, reason: 'exited', at }
  return { code: status === null ? null : 126, signal: null, reason: 'unknown', at }
}
