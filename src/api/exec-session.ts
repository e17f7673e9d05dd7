import type { WebSocket } from 'ws'
import { encodeExecBytes, EXEC_CHANNEL, type ExecServerMessage } from '../contract/exec-message.ts'
import { FairwayError } from '../model/errors.ts'
import type { ExecRequest, ExecSession } from '../model/runner.ts'
import { ExecInbox, type ControlMessage } from './exec-inbox.ts'
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
  const inbox = new ExecInbox(socket)
  const leave = (): void => {
    inbox.discard()
    socket.close(CLOSE.goingAway)
  }
  options.signal.addEventListener('abort', leave)
  if (options.signal.aborted) leave()
  const beat = heartbeat(socket, options.heartbeatMs)
  try {
    await converse(socket, inbox, closed, options)
    inbox.discard()
    socket.close(CLOSE.normal)
  } catch (error) {
    inbox.discard()
    const { error: problem } = toProblem(options.onError(error))
    await tell(socket, { type: 'error', error: problem })
    socket.close(CLOSE.wrong)
  } finally {
    await closed
    clearInterval(beat)
    options.signal.removeEventListener('abort', leave)
  }
}

async function converse(
  socket: WebSocket,
  inbox: ExecInbox,
  closed: Promise<void>,
  { open }: ExecOptions,
): Promise<void> {
  const start = await firstMessage(inbox)
  if (start === null) return
  const { argv, env = {}, tty, columns, rows } = start
  const session = await open({ argv, env, tty })
  let ended = false
  try {
    // What is written after the command ended is lost, as with any pipe; the exit says the rest.
    session.stdio.on('error', () => undefined)
    if (tty && columns !== undefined && rows !== undefined) session.resize(columns, rows)
    await tell(socket, { type: 'started' })
    const output = Promise.all([
      pump(session.stdio, EXEC_CHANNEL.stdout, socket),
      session.stderr === null ? null : pump(session.stderr, EXEC_CHANNEL.stderr, socket),
    ])
    const exit = await Promise.race([session.exit, receive(inbox, session, tty), closed])
    if (exit === undefined) return
    ended = true
    await Promise.race([output, closed, timeout(LINGER_MS)])
    const { code, signal, reason } = exit
    await tell(socket, { type: 'exit', code, signal, reason })
  } finally {
    if (!ended) session.kill()
  }
}

type Start = Extract<ControlMessage, { type: 'start' }>

/** Null where the client left instead. @throws FairwayError INVALID_REQUEST, TIMEOUT */
async function firstMessage(inbox: ExecInbox): Promise<Start | null> {
  const late = timeout(START_MS).then(() => {
    throw new FairwayError('TIMEOUT', 'the first message did not come in time')
  })
  const message = await Promise.race([inbox.next(), late])
  if (message === null || message.type === 'start') return message
  throw new FairwayError('INVALID_REQUEST', 'the first message must be "start"')
}

/** Passes messages on to the command, no faster than it reads; never resolves. @throws FairwayError INVALID_REQUEST */
async function receive(inbox: ExecInbox, session: ExecSession, tty: boolean): Promise<never> {
  const { stdio } = session
  for (;;) {
    const message = await inbox.next()
    // The client is gone, which the caller sees by itself.
    if (message === null) return await new Promise<never>(() => undefined)
    if (message.type === 'start') {
      throw new FairwayError('INVALID_REQUEST', '"start" may come only once')
    }
    if (message.type === 'eof') stdio.end()
    else if (message.type === 'resize') {
      if (tty) session.resize(message.columns, message.rows)
    } else if (stdio.writable && !stdio.write(message.bytes)) await writableAgain(session)
  }
}

function writableAgain({ stdio }: ExecSession): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stdio.off('drain', done)
      stdio.off('close', done)
      resolve()
    }
    stdio.on('drain', done)
    stdio.on('close', done)
  })
}

/** Sends what comes out, no faster than the client takes it. */
async function pump(
  stream: NodeJS.ReadableStream,
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
    else
      socket.send(data, () => {
        resolve()
      })
  })
}

/** Ends a connection whose other side no longer answers. */
function heartbeat(socket: WebSocket, ms: number): NodeJS.Timeout {
  let alive = true
  socket.on('pong', () => {
    alive = true
  })
  return setInterval(() => {
    // While the client is held back, its pong waits behind what it sent.
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
