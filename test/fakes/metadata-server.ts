import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What an EC2 instance is told; undefined = 404, as there. */
export interface Metadata {
  spot?: { readonly action: string; readonly time: string }
  rebalance?: { readonly noticeTime: string }
  scheduled?: readonly Readonly<Record<string, string>>[]
}

/** The EC2 instance metadata service, version 2, on loopback: tokens with a time to live, 401 without one, 404 where there is nothing. */
export class MetadataServer {
  readonly metadata: Metadata = {}
  readonly #server: Server
  #token = ''
  #tokens = 0
  /** Requests that were refused for their token. */
  refused = 0

  constructor() {
    this.#server = createServer((request, response) => {
      this.#answer(request, response)
    })
  }

  get url(): string {
    const address: AddressInfo | string | null = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('not listening')
    return `http://${address.address}:${String(address.port)}`
  }

  /** @param host address of this machine under which whoever asks reaches it */
  async listen(port = 0, host = '127.0.0.1'): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, host, resolve))
  }

  /** As after a stop and start of the machine. */
  forgetToken(): void {
    this.#token = ''
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { status, body } = this.#answerOf(request)
    // The service sends JSON documents as plain text.
    response.writeHead(status, { 'content-type': 'text/plain', server: 'EC2ws' }).end(body)
  }

  #answerOf({ url = '', method, headers }: IncomingMessage): {
    readonly status: number
    readonly body: string
  } {
    if (url === '/latest/api/token') {
      const ttl = Number(headers['x-aws-ec2-metadata-token-ttl-seconds'])
      if (method !== 'PUT') return { status: 405, body: '' }
      if (!(ttl >= 1 && ttl <= 21_600)) return { status: 400, body: '' }
      this.#token = `token-${String(++this.#tokens)}`
      return { status: 200, body: this.#token }
    }
    if (headers['x-aws-ec2-metadata-token'] !== this.#token || this.#token === '') {
      this.refused += 1
      return { status: 401, body: '' }
    }
    const found = this.#found(url)
    return found === undefined
      ? { status: 404, body: '<?xml version="1.0"?><html>404 - Not Found</html>' }
      : { status: 200, body: JSON.stringify(found) }
  }

  #found(url: string): unknown {
    const { spot, rebalance, scheduled = [] } = this.metadata
    if (url === '/latest/meta-data/spot/instance-action') return spot
    if (url === '/latest/meta-data/events/recommendations/rebalance') return rebalance
    return url === '/latest/meta-data/events/maintenance/scheduled' ? scheduled : undefined
  }
}
