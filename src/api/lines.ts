import type { FastifyReply } from 'fastify'
import { NDJSON } from '../contract/endpoint.ts'
import { FairwayError } from '../model/errors.ts'
import { toProblem } from './problem.ts'

export interface LinesOptions {
  readonly signal: AbortSignal
  readonly heartbeatMs: number
  readonly firstLineMs: number
  /** Translates and logs what broke a stream that had begun. */
  readonly onError: (error: unknown) => FairwayError
}

/**
 * Answers with one JSON value per line, no faster than the client reads. An error before the first line is thrown, so that it gets
 * its status; later ones become a last line. Resolves when the stream ended or the client left.
 */
export async function sendLines(
  reply: FastifyReply,
  lines: AsyncIterable<unknown>,
  options: LinesOptions,
): Promise<void> {
  const iterator = lines[Symbol.asyncIterator]()
  const first = iterator.next()
  const quick = await settledWithin(first, options.firstLineMs)
  // A late failure of the first line is met below.
  if (quick) await first
  const out = reply.hijack().raw
  out.writeHead(200, {
    'content-type': NDJSON,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  })
  out.flushHeaders()
  let wrote = false
  const heartbeat = setInterval(() => {
    if (!wrote && !out.writableNeedDrain) out.write('\n')
    wrote = false
  }, options.heartbeatMs)
  try {
    for (let next = await first; next.done !== true; next = await iterator.next()) {
      if (options.signal.aborted) break
      wrote = true
      if (!out.write(`${JSON.stringify(next.value)}\n`)) await drained(out, options.signal)
    }
  } catch (error) {
    if (!options.signal.aborted) out.write(`${JSON.stringify(toProblem(options.onError(error)))}\n`)
  } finally {
    clearInterval(heartbeat)
    await iterator.return?.()
    const why: unknown = options.signal.reason
    // Not the client's doing: it must not take this for the end of what it asked for.
    if (why instanceof FairwayError && out.writable)
      out.write(`${JSON.stringify(toProblem(why))}\n`)
    out.end()
  }
}

async function settledWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => {
      resolve(false)
    }, ms)
  })
  const settled = promise.then(
    () => true,
    () => true,
  )
  try {
    return await Promise.race([settled, late])
  } finally {
    clearTimeout(timer)
  }
}

function drained(out: NodeJS.WritableStream, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      out.off('drain', done)
      signal.removeEventListener('abort', done)
      resolve()
    }
    out.on('drain', done)
    signal.addEventListener('abort', done)
    if (signal.aborted) done()
  })
}
