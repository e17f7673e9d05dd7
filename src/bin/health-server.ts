import { createServer } from 'node:http'
import { once } from 'node:events'

/** What a server in a cluster is: `starting` until the database answers, then `standby` until it holds the lease. */
export type Readiness = 'starting' | 'standby' | 'active'

export interface HealthServer {
  set(readiness: Readiness): void
  close(): Promise<void>
}

/**
 * What the kubelet asks: `/healthz` answers while the event loop turns; `/readyz` answers 200 from `standby` on. A server that stands by is ready on purpose: it takes over
 * in a moment, so budgets and rollouts may count on it. Requests reach only the active one, by its label.
 */
export async function openHealth(port: number): Promise<HealthServer> {
  let readiness: Readiness = 'starting'
  const server = createServer((request, response) => {
    const isReady = request.url !== '/readyz' || readiness !== 'starting'
    response.writeHead(isReady ? 200 : 503, { 'content-type': 'text/plain' })
    response.end(`${readiness}\n`)
  })
  server.listen(port)
  await once(server, 'listening')
  return {
    set: (next) => {
      readiness = next
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
