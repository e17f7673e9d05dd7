import { WebSocket, type RawData } from 'ws'
import type { ExecClientMessage } from '../contract/exec-message.ts'
import {
  decodeExecBytes,
  encodeExecBytes,
  EXEC_CHANNEL,
  execServerMessage,
  MAX_EXEC_MESSAGE,
} from '../contract/exec-message.ts'
import { problemBody } from './bodies.ts'
import { ClientError, problemError } from './client-error.ts'

export interface ExecOptions {
  readonly argv: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly tty: boolean
  readonly columns?: number
  readonly rows?: number
  onOutput(bytes: Uint8Array, stream: 'stdout' | 'stderr'): void
}

export interface ExecExit {
  readonly code: number | null
  readonly signal: string | null
  readonly reason: string
}

export interface ExecSession {
  write(bytes: Uint8Array): void
  /** No more standard input. */
  end(): void
  resize(columns: number, rows: number): void
  /** Rejects with ClientError where the connection is lost before the command has ended. */
  readonly exit: Promise<ExecExit>
  close(): void
}

/** @throws ClientError the server's problem, SERVER_UNREACHABLE */
export async function openExecSession(
  url: string,
  headers: Readonly<Record<string, string>>,
  options: ExecOptions,
): Promise<ExecSession> {
  const socket = new WebSocket(url, { headers, maxPayload: 4 * MAX_EXEC_MESSAGE })
  await opened(socket, url)
  const started = Promise.withResolvers<undefined>()
  const ended = Promise.withResolvers<ExecExit>()
  // Both settle in every case; the caller looks at `exit` only after the start.
  ended.promise.catch(() => undefined)
  const fail = (error: ClientError): void => {
    started.reject(error)
    ended.reject(error)
    socket.close()
  }
  socket.on('message', (data, binary) => {
    const bytes = toBytes(data)
    if (binary) {
      deliver(bytes, options)
      return
    }
    const parsed = execServerMessage.safeParse(parsedJson(bytes))
    if (!parsed.success) fail(new ClientError('INTERNAL', 'the server sent an unknown message'))
    else if (parsed.data.type === 'started') started.resolve(undefined)
    else if (parsed.data.type === 'error') fail(problemError(parsed.data.error, null))
    else ended.resolve(parsed.data)
  })
  socket.on('error', (cause) => {
    fail(new ClientError('SERVER_UNREACHABLE', `the connection broke: ${cause.message}`, { cause }))
  })
  socket.on('close', () => {
    fail(new ClientError('SERVER_UNREACHABLE', 'the connection was lost while the command ran'))
  })
  send(socket, startMessage(options))
  await started.promise
  return session(socket, ended.promise)
}

function session(socket: WebSocket, exit: Promise<ExecExit>): ExecSession {
  return {
    write: (bytes) => {
      for (let start = 0; start < bytes.length; start += MAX_EXEC_MESSAGE - 1) {
        const part = bytes.subarray(start, start + MAX_EXEC_MESSAGE - 1)
        if (socket.readyState === WebSocket.OPEN) {
          socket.send(encodeExecBytes(EXEC_CHANNEL.stdin, part))
        }
      }
    },
    end: () => {
      send(socket, { type: 'eof' })
    },
    resize: (columns, rows) => {
      send(socket, { type: 'resize', columns, rows })
    },
    exit,
    close: () => {
      socket.terminate()
    },
  }
}

function startMessage(options: ExecOptions): ExecClientMessage {
  return {
    type: 'start',
    argv: [...options.argv],
    tty: options.tty,
    ...(options.env === undefined ? {} : { env: { ...options.env } }),
    ...(options.tty && options.columns !== undefined ? { columns: options.columns } : {}),
    ...(options.tty && options.rows !== undefined ? { rows: options.rows } : {}),
  }
}

function send(socket: WebSocket, message: ExecClientMessage): void {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message))
}

function deliver(message: Uint8Array, options: ExecOptions): void {
  const frame = decodeExecBytes(message)
  if (frame === null) return
  if (frame.channel === EXEC_CHANNEL.stdout) options.onOutput(frame.bytes, 'stdout')
  if (frame.channel === EXEC_CHANNEL.stderr) options.onOutput(frame.bytes, 'stderr')
}

function opened(socket: WebSocket, url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', (cause) => {
      reject(
        new ClientError('SERVER_UNREACHABLE', `${new URL(url).host}: ${cause.message}`, { cause }),
      )
    })
    socket.once('unexpected-response', (_, response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        reject(refusal(Buffer.concat(chunks), response.statusCode ?? 0))
      })
    })
  })
}

function refusal(body: Uint8Array, status: number): ClientError {
  try {
    return problemError(problemBody(parsedJson(body), '').error, status)
  } catch (cause) {
    return new ClientError('SERVER_UNREACHABLE', `the server refused with status ${status}`, {
      status,
      cause,
    })
  }
}

function parsedJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return null
  }
}

function toBytes(data: RawData): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data)
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data
}
