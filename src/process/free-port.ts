import { createServer } from 'node:net'

/** A port that nobody listens on now. @returns null where `wanted` is taken */
export async function freePort(wanted = 0): Promise<number | null> {
  const server = createServer()
  try {
    return await new Promise<number | null>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EADDRINUSE') resolve(null)
        else reject(error)
      })
      server.listen({ port: wanted, host: '127.0.0.1', exclusive: true }, () => {
        const address = server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : null)
      })
    })
  } finally {
    server.close()
  }
}
