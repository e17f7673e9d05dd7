/**
 * The protocol of `exec`, spoken over a WebSocket (RFC 6455). Text messages are JSON control messages, the first one from the
 * client being `start`. Binary messages are one channel byte followed by the bytes.
 */
import { z } from 'zod'
import { configName } from './config.ts'
import { problem } from './problem.ts'

export const EXEC_CHANNEL = { stdin: 0, stdout: 1, stderr: 2 } as const
/** Longest message in either direction, in bytes. */
export const MAX_EXEC_MESSAGE = 1024 * 1024

export const argv = z
  .array(
    z
      .string()
      .max(64 * 1024)
      .refine((text) => !text.includes('\0'), 'expected an argument without NUL'),
  )
  .min(1, 'expected a command')
  .max(1000)

const cells = z.number().int().min(1).max(10_000)

export const execClientMessage = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('start'),
    argv,
    env: z.record(configName, z.string().max(32 * 1024)).optional(),
    tty: z.boolean(),
    /** Size of the terminal, only with `tty`. */
    columns: cells.optional(),
    rows: cells.optional(),
  }),
  z.strictObject({ type: z.literal('resize'), columns: cells, rows: cells }),
  /** No more standard input. */
  z.strictObject({ type: z.literal('eof') }),
])

export const execServerMessage = z.union([
  /** The command runs; standard input may be sent. */
  z.object({ type: z.literal('started') }),
  /** Everything that the command printed has been sent before this. The server closes afterwards. */
  z.object({
    type: z.literal('exit'),
    code: z.number().int().nullable(),
    signal: z.string().nullable(),
    reason: z.enum(['exited', 'oom', 'killed', 'unknown']),
  }),
  z.object({ type: z.literal('error'), error: problem.shape.error }),
])

export type ExecClientMessage = z.input<typeof execClientMessage>
export type ExecServerMessage = z.output<typeof execServerMessage>

/** One binary message: channel byte, then the bytes. */
export function encodeExecBytes(channel: number, bytes: Uint8Array): Uint8Array {
  const message = new Uint8Array(bytes.length + 1)
  message[0] = channel
  message.set(bytes, 1)
  return message
}

/** Null for an empty message. The bytes are a view into `message`. */
export function decodeExecBytes(
  message: Uint8Array,
): { readonly channel: number; readonly bytes: Uint8Array } | null {
  const channel = message[0]
  return channel === undefined ? null : { channel, bytes: message.subarray(1) }
}
