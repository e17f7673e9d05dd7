import { request } from 'node:https'
import type { KeyPair } from './certificates.ts'

export interface ApiServer {
  readonly server: string
  readonly authority: string
  readonly client?: KeyPair
}

/** Status of a GET; null where nobody answers. */
export async function statusOf(
  { server, authority, client }: ApiServer,
  path: string,
): Promise<number | null> {
  return new Promise((resolve) => {
    const asked = request(
      new URL(path, server),
      {
        ca: authority,
        timeout: 5000,
        agent: false,
        ...(client === undefined ? {} : { cert: client.certificate, key: client.key }),
      },
      (response) => {
        response.resume()
        resolve(response.statusCode ?? null)
      },
    )
    asked.on('timeout', () => asked.destroy())
    asked.on('error', () => {
      resolve(null)
    })
    asked.end()
  })
}
