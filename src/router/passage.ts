import { connect, type Socket } from 'node:net'
import type { Address } from '../model/instance.ts'
import { problemResponse } from './client-response.ts'

export interface PassageOptions {
  /** Paused or not, without listeners for its data. */
  readonly client: Socket
  /** What the client sent behind its CONNECT. */
  readonly rest: Buffer
  readonly address: Address
  readonly connectMs: number
}

/** Bytes both ways after CONNECT to an address outside; 502 where nobody takes the connection. Each side's end ends the other. */
export function openPassage({ client, rest, address, connectMs }: PassageOptions): void {
  client.pause()
  const { host, port } = address
  const outside = connect({ host, port, noDelay: true, keepAlive: true, allowHalfOpen: true })
  outside.setTimeout(connectMs, () => outside.destroy())
  let open = false
  outside.once('connect', () => {
    open = true
    outside.setTimeout(0)
    client.write('HTTP/1.1 200 Connection established\r\n\r\n')
    if (rest.length > 0) outside.write(rest)
    client.pipe(outside)
    outside.pipe(client)
  })
  // 'close' follows.
  outside.on('error', () => undefined)
  outside.on('close', () => {
    if (open) client.destroySoon()
    else client.end(problemResponse('upstream-refused', null, true))
  })
  client.on('close', () => outside.destroy())
}
