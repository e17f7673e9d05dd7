import { FairwayError } from '../model/errors.ts'
import type { TargetMetrics } from '../model/targets.ts'
import { readSamples, type Sample } from './traffic-answer.ts'

export interface MetricsSourceOptions extends TargetMetrics {
  readonly fetch: typeof globalThis.fetch
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 5_000
const MAX_ANSWER = 4 << 20

/** Something that speaks the HTTP API of Prometheus: Prometheus itself, Thanos, VictoriaMetrics, Mimir. */
export class MetricsSource {
  readonly #options: MetricsSourceOptions

  constructor(options: MetricsSourceOptions) {
    this.#options = options
  }

  get url(): string {
    return this.#options.url
  }

  /**
   * An instant query. As POST, since a query with many pods is longer than a URL may be.
   * @throws FairwayError CLUSTER_UNREACHABLE where there is no answer, or none that can be used; the token is in no message
   */
  async query(query: string, signal?: AbortSignal): Promise<readonly Sample[]> {
    const { url, token, fetch, timeoutMs = TIMEOUT_MS } = this.#options
    const limit = AbortSignal.timeout(timeoutMs)
    try {
      const response = await fetch(`${url}/api/v1/query`, {
        method: 'POST',
        // A redirect would take the token to wherever it says.
        redirect: 'error',
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          accept: 'application/json',
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        },
        body: new URLSearchParams({ query }).toString(),
        signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
      })
      const text = await textOf(response)
      // Refused queries have a body of the API's as well, those of a proxy before it have not.
      if (!response.ok && !text.startsWith('{'))
        throw new Error(`it answers ${String(response.status)}`)
      return readSamples(JSON.parse(text))
    } catch (error) {
      signal?.throwIfAborted()
      throw this.#unreachable(limit.aborted ? `no answer in ${String(timeoutMs)} ms` : error)
    }
  }

  #unreachable(cause: unknown): FairwayError {
    return new FairwayError(
      'CLUSTER_UNREACHABLE',
      `the metrics at ${this.#options.url} cannot be read: ${reasonOf(cause)}`,
      { hint: 'Give the target another `--metrics` URL or token with `fairway target add`.' },
    )
  }
}

// Private

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  const reader: ReadableStreamDefaultReader<Uint8Array> | undefined = response.body?.getReader()
  for (;;) {
    const piece = await reader?.read()
    if (piece?.value === undefined) break
    size += piece.value.byteLength
    if (size > MAX_ANSWER) {
      await reader?.cancel()
      throw new Error(`its answer is longer than ${String(MAX_ANSWER)} bytes`)
    }
    chunks.push(piece.value)
  }
  return Buffer.concat(chunks).toString()
}

/** `fetch` tells why in the cause of its error. */
function reasonOf(error: unknown): string {
  if (typeof error === 'string') return error
  if (error instanceof SyntaxError) return 'its answer is no JSON'
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? error.cause.message || error.cause.name : error.message
}
