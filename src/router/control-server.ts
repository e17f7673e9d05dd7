import { chmod, mkdir, rename, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { dirname } from 'node:path'
import { ZodError } from 'zod'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { InstanceId } from '../model/instance.ts'
import {
  drainSchema,
  publishedSchema,
  successorSchema,
  type RouterStatus,
  type SuccessorOrder,
} from './control-schema.ts'
import type { Plane, Published } from './plane.ts'
import type { TableFile } from './table-file.ts'

export interface ControlOptions {
  readonly socketPath: string
  readonly plane: Plane
  /** Serves a table that is stored; the publication is answered when it resolves. */
  readonly serve: (published: Published) => Promise<void>
  readonly drain: (id: InstanceId, deadlineMs: number) => Promise<{ readonly cut: number }>
  readonly succeed: (order: SuccessorOrder) => Promise<{ readonly pid: number }>
  readonly tableFile: TableFile
  readonly status: () => RouterStatus
  readonly clock: Clock
  readonly log: Log
}

const MAX_BODY = 64 * 1024 * 1024
/** How long the last answers may take when another router has our path. */
const LEAVE_MS = 1_000

/** The router's side of the Traffic port: HTTP and JSON on a Unix socket that only its owner may open. */
export class ControlServer {
  readonly #options: ControlOptions
  #server: Server | null = null
  #publishing: Promise<unknown> = Promise.resolve()
  #isSettled = false
  readonly #opened = Promise.withResolvers<undefined>()

  constructor(options: ControlOptions) {
    this.#options = options
  }

  /**
   * Takes the socket's path over from a router before, which may still run: bound beside it, then renamed over it. Once more, it takes the path back from a
   * router that ended too soon.
   */
  async listen(): Promise<void> {
    const { socketPath } = this.#options
    await mkdir(dirname(socketPath), { recursive: true, mode: 0o700 })
    const temporary = `${socketPath}.${String(process.pid)}`
    await rm(temporary, { force: true })
    const server = createServer((request, response) => void this.#answer(request, response))
    // A drain answers only after its deadline.
    server.requestTimeout = 0
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(temporary, () => {
        server.removeListener('error', reject)
        resolve()
      })
    })
    await chmod(temporary, 0o600)
    await rename(temporary, socketPath)
    this.#server?.close()
    this.#server = server
    this.#isSettled = false
  }

  /** Answers from now on; who asked since `listen` waited for it. */
  open(): void {
    this.#opened.resolve(undefined)
  }

  /** Another router has our path. Who is connected already may still ask, but tables go there. Resolves when the last one that was taken here is stored. */
  async settle(): Promise<void> {
    this.#isSettled = true
    await this.#publishing.catch(() => undefined)
  }

  /** Ends once whoever came while the path still led here is answered, or after a moment. */
  async leave(): Promise<void> {
    const { clock } = this.#options
    // Who was waiting to be accepted is accepted by now.
    await clock.sleep(LEAVE_MS / 20)
    const late = new AbortController()
    await Promise.race([
      new Promise((resolve) => {
        if (this.#server === null) resolve(undefined)
        else this.#server.close(resolve)
      }),
      clock.sleep(LEAVE_MS, late.signal).catch(() => undefined),
    ])
    late.abort()
    this.close()
  }

  close(): void {
    this.#server?.close()
    this.#server?.closeAllConnections()
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    await this.#opened.promise
    try {
      const body = await this.#route(`${String(request.method)} ${String(request.url)}`, request)
      reply(response, 200, body)
    } catch (error) {
      const known = asFairwayError(error)
      if (known.code === 'INTERNAL') {
        this.#options.log.error({ error: String(error) }, 'control request failed')
      }
      reply(response, known.status, { code: known.code, message: known.message })
    }
  }

  async #route(operation: string, request: IncomingMessage): Promise<unknown> {
    const { plane, status, drain, succeed } = this.#options
    switch (operation) {
      case 'PUT /table':
        return this.#publish(await readJson(request))
      case 'GET /table':
        return { table: plane.published?.table ?? null }
      case 'POST /drain': {
        const { id, deadlineMs } = drainSchema.parse(await readJson(request))
        return drain(id, deadlineMs)
      }
      case 'POST /successor':
        return succeed(successorSchema.parse(await readJson(request)))
      case 'GET /load':
        return plane.load()
      case 'GET /stats':
        return { services: plane.stats() }
      case 'GET /status':
        return status()
      default:
        throw new FairwayError('NOT_FOUND', `the router has no operation ${operation}`)
    }
  }

  // One after the other, so that the file never goes back to an older table. Stored first: what was served once is never forgotten by a restart.
  #publish(value: unknown): Promise<unknown> {
    if (this.#isSettled) throw new FairwayError('ROUTER_UNAVAILABLE', 'another router takes over')
    const published = publishedSchema.parse(value)
    const { plane, tableFile, serve } = this.#options
    const task = async (): Promise<unknown> => {
      plane.refuseOlder(published.table.revision)
      await tableFile.write(published)
      await serve(published)
      return {}
    }
    const mine = this.#publishing.then(task, task)
    this.#publishing = mine
    return mine
  }
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_BODY) throw new FairwayError('TOO_LARGE', 'the control request is too large')
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch (cause) {
    throw new FairwayError('INVALID_REQUEST', 'the control request is not JSON', { cause })
  }
}

function asFairwayError(error: unknown): FairwayError {
  if (error instanceof FairwayError) return error
  if (error instanceof ZodError) {
    const first = error.issues[0]
    const where = first?.path.join('.') ?? ''
    return new FairwayError('INVALID_REQUEST', `${where}: ${first?.message ?? 'invalid'}`)
  }
  return new FairwayError('INTERNAL', 'the router could not do this', { cause: error })
}
