import type { RawData, WebSocket } from 'ws'
import type { z } from 'zod'
import { decodeExecBytes, EXEC_CHANNEL, execClientMessage } from '../contract/exec-message.ts'
import { FairwayError } from '../model/errors.ts'
import { parseInput } from './input.ts'

export type ControlMessage = z.output<typeof execClientMessage>
export type Incoming = ControlMessage | { readonly type: 'input'; readonly bytes: Uint8Array }

/** Messages that wait before the connection is no longer read. */
const MOST_WAITING = 16

/** Messages of a client in order, read when somebody asks for them; a client that sends faster is held back. */
export class ExecInbox {
  readonly #socket: WebSocket
  readonly #waiting: { readonly data: RawData; readonly isBinary: boolean }[] = []
  #wake: (() => void) | null = null
  #ended = false
  #discarding = false

  constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('message', (data, isBinary) => {
      if (this.#discarding) return
      this.#waiting.push({ data, isBinary })
      if (this.#waiting.length >= MOST_WAITING) socket.pause()
      this.#wake?.()
    })
    socket.once('close', () => {
      this.#ended = true
      this.#wake?.()
    })
  }

  /** Null once the client is gone. @throws FairwayError INVALID_REQUEST for a message that is not in the protocol */
  async next(): Promise<Incoming | null> {
    while (this.#waiting.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const message = this.#waiting.shift()
    if (this.#waiting.length === 0 && this.#socket.isPaused) this.#socket.resume()
    if (message === undefined) return null
    return message.isBinary ? parseBytes(message.data) : parseText(message.data)
  }

  /** Throws away what comes from now on, but reads it: a closing handshake is among it. */
  discard(): void {
    this.#discarding = true
    this.#waiting.length = 0
    if (this.#socket.isPaused) this.#socket.resume()
  }
}

function parseBytes(data: RawData): Incoming {
  const message = decodeExecBytes(bytesOf(data))
  if (message?.channel === EXEC_CHANNEL.stdin) return { type: 'input', bytes: message.bytes }
  throw new FairwayError('INVALID_REQUEST', 'a binary message must begin with the channel 0')
}

function parseText(data: RawData): ControlMessage {
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
