import { request, type IncomingHttpHeaders } from 'node:http'

export interface RoutedAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface RoutedRequest {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Default: loopback. */
  readonly address?: string
}

/** One request to the app at `host`, through a router on loopback or what else is at this address and port. Rejects where no whole answer came. */
export function askThrough(
  port: number,
  host: string,
  path: string,
  { method = 'GET', headers = {}, body = '', address = '127.0.0.1' }: RoutedRequest = {},
): Promise<RoutedAnswer> {
  return new Promise((resolve, reject) => {
    const to = { host: address, port, path, method, agent: false }
    const outgoing = request({ ...to, headers: { ...headers, host } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8')
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text })
      })
    })
    outgoing.on('error', reject)
    outgoing.setTimeout(30_000, () => outgoing.destroy(new Error(`${host}${path}: no answer`)))
    outgoing.end(body)
  })
}
