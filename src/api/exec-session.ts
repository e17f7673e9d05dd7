import type { RawData, WebSocket } from 'ws'
import {
  decodeExecBytes,
  encodeExecBytes,
  EXEC_CHANNEL,
  execClientMessage,
  type ExecServerMessage,
} from '../contract/exec-message.ts'
import { FairwayError } from '../model/errors.ts'
import type { ExecRequest, ExecSession } from '../model/runner.ts'
import { parseInput } from './input.ts'
import { toProblem } from './problem.ts'

export interface ExecOptions {
  readonly open: (request: ExecRequest) => Promise<ExecSession>
  readonly signal: AbortSignal
  readonly heartbeatMs: number
  readonly onError: (error: unknown) => FairwayError
}

/** How long the first message may take. */
const START_MS = 10_000
/** How long output may still come after the command ended: a child it left behind may hold its standard output open. */
const LINGER_MS = 2_000
const CLOSE = { normal: 1000, goingAway: 1001, wrong: 1008 } as const

/** Serves one exec over an accepted WebSocket; resolves when it is closed. The command never outlives the connection. */
export async function serveExec(socket: WebSocket, options: ExecOptions): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      resolve()
    })
  })
  // 'close' follows and is what counts: the client is gone either way.
  socket.on('error', () => undefined)
  const leave = (): void => socket.close(CLOSE.goingAway)
  options.signal.addEventListener('abort', leave)
  const beat = heartbeat(socket, options.heartbeatMs)
  try {
    await converse(socket, closed, options)
    socket.close(CLOSE.normal)
  } catch (error) {
    await send(socket, JSON.stringify({ type: 'error', ...toProblem(options.onError(error)) }))
    socket.close(CLOSE.wrong)
  } finally {
    options.signal.removeEventListener('abort', leave)
    await closed
    clearInterval(beat)
  }
}

async function converse(
  socket: WebSocket,
  closed: Promise<void>,
  { open }: ExecOptions,
): Promise<void> {
  const start = await firstMessage(socket)
  if (start === null) return
  const { argv, env = {}, tty, columns, rows } = start
  const session = await open({ argv, env, tty })
  const gone = closed.then(() => {
    session.kill()
  })
  if (socket.readyState !== socket.OPEN) {
    await gone
    return
  }
  // What is written after the command ended is lost, as with any pipe; the exit says the rest.
  session.stdio.on('error', () => undefined)
  if (tty && columns !== undefined && rows !== undefined) session.resize(columns, rows)
  const wrong = receive(socket, session, tty)
  await tell(socket, { type: 'started' })
  const output = Promise.all([
    pump(session.stdio, EXEC_CHANNEL.stdout, socket),
    session.stderr === null ? null : pump(session.stderr, EXEC_CHANNEL.stderr, socket),
  ])
  const exit = await Promise.race([session.exit, wrong, gone])
  if (exit === undefined) return
  await Promise.race([output, timeout(LINGER_MS)])
  await tell(socket, {
    type: 'exit',
    code: exit.code,
    signal: exit.signal,
    reason: exit.reason,
  })
}

type Start = Extract<ReturnType<typeof parseMessage>, { type: 'start' }>

/** Null where the client left instead. @throws FairwayError INVALID_REQUEST, TIMEOUT */
function firstMessage(socket: WebSocket): Promise<Start | null> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new FairwayError('TIMEOUT', 'the first message did not come in time'))
    }, START_MS)
    socket.once('close', () => {
      clearTimeout(timer)
      resolve(null)
    })
    socket.once('message', (data, isBinary) => {
      clearTimeout(timer)
      // Until the command runs, nothing else may be lost.
      socket.pause()
      try {
        const message = isBinary ? null : parseMessage(data)
        if (message?.type === 'start') resolve(message)
        else throw new FairwayError('INVALID_REQUEST', 'the first message must be "start"')
      } catch (error) {
        reject(error instanceof Error ? error : new Error('bad message', { cause: error }))
      }
    })
  })
}

/** Passes messages on to the command. Rejects on the first wrong one; never resolves. */
function receive(socket: WebSocket, session: ExecSession, tty: boolean): Promise<never> {
  const { stdio } = session
  const wrong = new Promise<never>((_, reject) => {
    socket.on('message', (data, isBinary) => {
      try {
        if (isBinary) writeInput(socket, session, bytesOf(data))
        else control(session, tty, parseMessage(data))
      } catch (error) {
        session.kill()
        reject(error instanceof Error ? error : new Error('bad message', { cause: error }))
      }
    })
  })
  stdio.on('drain', () => socket.resume())
  socket.resume()
  return wrong
}

function writeInput(socket: WebSocket, { stdio }: ExecSession, data: Uint8Array): void {
  const message = decodeExecBytes(data)
  if (message?.channel !== EXEC_CHANNEL.stdin) {
    throw new FairwayError('INVALID_REQUEST', 'a binary message must begin with the channel 0')
  }
  if (stdio.writable && !stdio.write(message.bytes)) socket.pause()
}

function control(
  session: ExecSession,
  tty: boolean,
  message: ReturnType<typeof parseMessage>,
): void {
  if (message.type === 'start') {
    throw new FairwayError('INVALID_REQUEST', '"start" may come only once')
  }
  if (message.type === 'eof') session.stdio.end()
  else if (tty) session.resize(message.columns, message.rows)
}

/** Sends what comes out, no faster than the client takes it. */
async function pump(
  stream: AsyncIterable<string | Uint8Array> | NodeJS.ReadableStream,
  channel: number,
  socket: WebSocket,
): Promise<void> {
  try {
    for await (const chunk of stream) {
      await send(socket, encodeExecBytes(channel, Buffer.from(chunk)))
    }
  } catch {
    // A stream that breaks is a command that ended; its exit follows.
  }
}

function tell(socket: WebSocket, message: ExecServerMessage): Promise<void> {
  return send(socket, JSON.stringify(message))
}

/** Resolves when the bytes are on their way, also where the client is gone. */
function send(socket: WebSocket, data: string | Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    if (socket.readyState !== socket.OPEN) resolve()
    else socket.send(data, () => resolve())
  })
}

function parseMessage(data: RawData) {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytesOf(data)).toString('utf8'))
  } catch (error) {
    throw new FairwayError('INVALID_REQUEST', 'a text message is not valid JSON', { cause: error })
  }
  return parseInput(execClientMessage, value, 'body')
}

function bytesOf(data: RawData): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data)
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data
}

/** Ends a connection whose other side no longer answers. */
function heartbeat(socket: WebSocket, ms: number): NodeJS.Timeout {
  let alive = true
  socket.on('pong', () => {
    alive = true
  })
  return setInterval(() => {
    if (!alive && !socket.isPaused) socket.terminate()
    alive = false
    if (socket.readyState === socket.OPEN) socket.ping()
  }, ms)
}

function timeout(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref()
  })
}
