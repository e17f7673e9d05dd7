/** A TCP connection in between that can be cut at a chosen moment: for what happens when the network breaks. */
import { connect, createServer, type Socket } from 'node:net'

export interface CutProxy {
  readonly port: number
  /** From now on: what a client sends and that has `text` in it still arrives, then the connection is cut before the answer. Once. */
  cutAfter(text: string): void
  close(): Promise<void>
}

export async function startCutProxy(toPort: number): Promise<CutProxy> {
  let cutAt: string | null = null
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(toPort, '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.on('data', (chunk: Buffer) => {
      const cut = cutAt !== null && chunk.includes(cutAt)
      if (cut) {
        cutAt = null
        // The first byte of the answer says that it was carried out.
        upstream.off('data', answer)
        upstream.once('data', () => upstream.destroy())
      }
      upstream.write(chunk)
    })
    const answer = (chunk: Buffer): void => {
      client.write(chunk)
    }
    upstream.on('data', answer)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    port: address.port,
    cutAfter: (text) => {
      cutAt = text
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
