import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import type { KeyPair } from './certificates.ts'

export interface ApiClientOptions {
  readonly server: string
  /** Certificate of the authority that signed the server's. */
  readonly authority: string
  readonly client: KeyPair
}

/** The few calls that the lab's own parts make to its API server. */
export class ApiClient {
  readonly #options: ApiClientOptions
  readonly #agent: Agent

  constructor(options: ApiClientOptions) {
    this.#options = options
    this.#agent = new Agent({
      ca: options.authority,
      cert: options.client.certificate,
      key: options.client.key,
      keepAlive: true,
    })
  }

  /** Parsed answer. @throws Error with the API's words where the status is not 2xx */
  async call(method: string, path: string, body?: object): Promise<unknown> {
    const response = await this.#send(method, path, body)
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString()
    const { statusCode = 0 } = response
    if (statusCode >= 200 && statusCode < 300) return text === '' ? null : JSON.parse(text)
    throw new Error(`${method} ${path}: ${String(statusCode)} ${text.slice(0, 500)}`)
  }

  async isReady(): Promise<boolean> {
    try {
      const response = await this.#send('GET', '/readyz')
      response.resume()
      return response.statusCode === 200
    } catch {
      return false
    }
  }

  /** One parsed line of a watch after the other, until the server ends it. @throws Error where it breaks */
  async *lines(path: string, signal: AbortSignal): AsyncGenerator {
    const response = await this.#send('GET', path, undefined, signal)
    if (response.statusCode !== 200) {
      response.resume()
      throw new Error(`GET ${path}: ${String(response.statusCode)}`)
    }
    response.setEncoding('utf8')
    let rest = ''
    for await (const chunk of response) {
      const lines = `${rest}${chunk as string}`.split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) yield JSON.parse(line)
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  #send(
    method: string,
    path: string,
    body?: object,
    signal?: AbortSignal,
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const url = new URL(path, this.#options.server)
      const headers = body === undefined ? {} : { 'content-type': 'application/json' }
      const asked = request(
        url,
        { method, agent: this.#agent, headers, ...(signal === undefined ? {} : { signal }) },
        resolve,
      )
      asked.on('error', reject)
      asked.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }
}
