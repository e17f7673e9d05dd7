import { z } from 'zod'
import type { ApiClient } from './api-client.ts'

const RETRY_MS = 500

const listAnswer = z.object({
  metadata: z.object({ resourceVersion: z.string() }),
  items: z.array(z.unknown()),
})
const watchEvent = z.object({
  type: z.enum(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR']),
  object: z.unknown(),
})
const identified = z.object({ metadata: z.object({ uid: z.string() }) })

/** All objects of one kind, kept the same as the API server's by a watch; listed anew where the watch breaks. */
export class Mirror<T> {
  readonly #api: ApiClient
  readonly #path: string
  readonly #schema: z.ZodType<T>
  readonly #changed: () => void
  readonly #stop = new AbortController()
  #items: Map<string, T> | null = null

  /** @param path such as `/api/v1/pods` @param changed called after every change */
  constructor(api: ApiClient, path: string, schema: z.ZodType<T>, changed: () => void) {
    this.#api = api
    this.#path = path
    this.#schema = schema
    this.#changed = changed
  }

  /** Null until it was listed once. */
  get items(): readonly T[] | null {
    return this.#items === null ? null : [...this.#items.values()]
  }

  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        await this.#follow(await this.#list())
      } catch {
        // The API server restarts, or the version is too old: both are answered by a new list.
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
  }

  stop(): void {
    this.#stop.abort()
  }

  async #list(): Promise<string> {
    const { metadata, items } = listAnswer.parse(await this.#api.call('GET', this.#path))
    this.#items = new Map(
      items.map((item) => [identified.parse(item).metadata.uid, this.#schema.parse(item)]),
    )
    this.#changed()
    return metadata.resourceVersion
  }

  async #follow(version: string): Promise<void> {
    const path = `${this.#path}?watch=true&resourceVersion=${version}&timeoutSeconds=300`
    for await (const line of this.#api.lines(path, this.#stop.signal)) {
      const { type, object } = watchEvent.parse(line)
      if (type === 'ERROR') throw new Error(`watch ${this.#path} ended`)
      if (type === 'BOOKMARK') continue
      const { uid } = identified.parse(object).metadata
      if (type === 'DELETED') this.#items?.delete(uid)
      else this.#items?.set(uid, this.#schema.parse(object))
      this.#changed()
    }
  }
}

/** Runs a task again for every call that came while it ran, and never twice at once; a failed one is tried again. */
export function coalesced(task: () => Promise<void>, failed: (error: unknown) => void): () => void {
  let isRunning = false
  let isDue = false
  const turn = async (): Promise<void> => {
    isRunning = true
    while (isDue) {
      isDue = false
      try {
        await task()
      } catch (error) {
        failed(error)
        isDue = true
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
    isRunning = false
  }
  return () => {
    isDue = true
    if (!isRunning) void turn()
  }
}
