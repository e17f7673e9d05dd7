import { request } from 'node:http'
import { connect } from 'node:net'
import type { HealthSpec } from '../model/app-spec.ts'
import type { Address } from '../model/instance.ts'

export interface ProbeAnswer {
  readonly ok: boolean
  /** For people: 'GET /healthz answered 503', 'port 8080 refuses connections'. */
  readonly text: string
}

/** One look at an instance: HTTP where the app file names a path, else a TCP connect. Reads at most the head of the answer. Never throws. */
export function probe(
  address: Address,
  health: Pick<HealthSpec, 'ready' | 'timeoutMs'>,
): Promise<ProbeAnswer> {
  return health.ready === null
    ? probeTcp(address, health.timeoutMs)
    : probeHttp(address, health.ready, health.timeoutMs)
}

function probeHttp(address: Address, path: string, timeoutMs: number): Promise<ProbeAnswer> {
  return new Promise((resolve) => {
    const outgoing = request({
      host: address.host,
      port: address.port,
      path,
      agent: false,
      headers: { host: 'probe.internal', 'user-agent': 'fairway-probe', connection: 'close' },
    })
    const timer = setTimeout(() => {
      outgoing.destroy()
      resolve({ ok: false, text: `GET ${path} did not answer within ${String(timeoutMs)} ms` })
    }, timeoutMs)
    outgoing.once('response', (response) => {
      const status = response.statusCode ?? 0
      // The body is the app's, of any size: it is not read.
      response.destroy()
      clearTimeout(timer)
      resolve({ ok: status >= 200 && status < 400, text: `GET ${path} answered ${String(status)}` })
    })
    outgoing.once('error', (error) => {
      clearTimeout(timer)
      resolve({ ok: false, text: `GET ${path} failed: ${describe(error, address)}` })
    })
    outgoing.end()
  })
}

function probeTcp(address: Address, timeoutMs: number): Promise<ProbeAnswer> {
  return new Promise((resolve) => {
    const socket = connect({ host: address.host, port: address.port })
    const finish = (ok: boolean, text: string): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ ok, text })
    }
    const timer = setTimeout(() => {
      finish(
        false,
        `port ${String(address.port)} did not accept a connection within ${String(timeoutMs)} ms`,
      )
    }, timeoutMs)
    socket.once('connect', () => finish(true, `port ${String(address.port)} accepts connections`))
    socket.once('error', (error) => finish(false, describe(error, address)))
  })
}

function describe(error: Error, address: Address): string {
  if (!('code' in error)) return error.message
  if (error.code === 'ECONNREFUSED') return `port ${String(address.port)} refuses connections`
  if (error.code === 'ECONNRESET') return `port ${String(address.port)} closed the connection`
  return String(error.code)
}
