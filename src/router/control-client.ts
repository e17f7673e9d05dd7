import { request, type IncomingMessage } from 'node:http'
import type { z } from 'zod'
import { FairwayError } from '../model/errors.ts'
import type { Traffic } from '../model/traffic.ts'
import {
  begunSchema,
  currentSchema,
  drainedSchema,
  loadSchema,
  parseError,
  statsSchema,
  statusSchema,
  type RouterStats,
  type RouterStatus,
  type SuccessorOrder,
} from './control-schema.ts'

/** The Traffic port, and what else a running router tells. */
export interface RouterControl extends Traffic {
  stats(): Promise<RouterStats>
  status(): Promise<RouterStatus>
  /**
   * The router starts the program with its listening sockets, and leaves once that serves. Resolves when the program runs.
   * @throws FairwayError CONFLICT where another one is on its way
   */
  succeed(order: SuccessorOrder): Promise<{ readonly pid: number }>
}

interface Operation<T extends z.ZodType> {
  readonly method: 'GET' | 'PUT' | 'POST'
  readonly path: string
  readonly body?: unknown
  readonly schema: T | null
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 10_000

/** Speaks to the router behind the Unix socket; connects anew for every call, so it needs no closing. Every call @throws FairwayError ROUTER_UNAVAILABLE where no router answers. */
export function connectTraffic(socketPath: string): RouterControl {
  const call = <T extends z.ZodType>(operation: Operation<T>): Promise<z.infer<T>> =>
    send(socketPath, operation)
  return {
    publish: async (table, callers) => {
      await call({ method: 'PUT', path: '/table', body: { table, callers }, schema: null })
    },
    current: async () =>
      (await call({ method: 'GET', path: '/table', schema: currentSchema })).table,
    drain: (id, deadlineMs) =>
      call({
        method: 'POST',
        path: '/drain',
        body: { id, deadlineMs },
        schema: drainedSchema,
        timeoutMs: deadlineMs + TIMEOUT_MS,
      }),
    load: () => call({ method: 'GET', path: '/load', schema: loadSchema }),
    stats: () => call({ method: 'GET', path: '/stats', schema: statsSchema }),
    status: () => call({ method: 'GET', path: '/status', schema: statusSchema }),
    succeed: (order) =>
      call({ method: 'POST', path: '/successor', body: order, schema: begunSchema }),
  }
}

async function send<T extends z.ZodType>(
  socketPath: string,
  operation: Operation<T>,
): Promise<z.infer<T>> {
  const { status, text } = await exchange(socketPath, operation)
  const value = parseJson(text)
  if (status !== 200) throw parseError(value)
  if (operation.schema === null) return undefined as z.infer<T>
  const parsed = operation.schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw new FairwayError('ROUTER_UNAVAILABLE', 'the router answered in a form of another version', {
    cause: parsed.error,
  })
}

function exchange(
  socketPath: string,
  operation: Operation<z.ZodType>,
): Promise<{ status: number; text: string }> {
  const { method, path, body, timeoutMs = TIMEOUT_MS } = operation
  const payload = body === undefined ? '' : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void => {
      const why = cause instanceof Error ? cause.message : String(cause)
      const message = `the router does not answer at ${socketPath}: ${why}`
      reject(new FairwayError('ROUTER_UNAVAILABLE', message, { cause }))
    }
    const outgoing = request({
      socketPath,
      method,
      path,
      agent: false,
      signal: AbortSignal.timeout(timeoutMs),
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) },
    })
    outgoing.on('error', fail)
    outgoing.on('response', (response) => {
      readText(response).then((text) => resolve({ status: response.statusCode ?? 0, text }), fail)
    })
    outgoing.end(payload)
  })
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new FairwayError('ROUTER_UNAVAILABLE', 'the router answered with something else', {
      cause,
    })
  }
}
