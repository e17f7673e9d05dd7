import { request } from 'node:http'

/** GET through a router on loopback, one connection each; status 0 where no answer came. */
export function getThrough(
  port: number,
  host: string,
  path: string,
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve) => {
    const outgoing = request(
      { host: '127.0.0.1', port, path, headers: { host }, agent: false },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
        )
        response.on('error', () => resolve({ status: 0, body: '' }))
      },
    )
    outgoing.on('error', (error) => resolve({ status: 0, body: error.message }))
    outgoing.end()
  })
}
