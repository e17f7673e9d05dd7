import { connect, createServer, type Server, type Socket } from 'node:net'

/** Passes connections of the nodes on to a registry of the host, which may be bound to loopback alone; where to can be changed at any time. */
export class RegistryForward {
  #target: string | null
  readonly #sockets = new Set<Socket>()
  #server: Server | null = null

  /** @param target `host:port`; null refuses every connection */
  constructor(target: string | null) {
    this.#target = target
  }

  get target(): string | null {
    return this.#target
  }

  set target(target: string | null) {
    this.#target = target
  }

  /** @returns the port it got, where 0 was asked for */
  async listen(address: string, port: number): Promise<number> {
    const server = createServer((socket) => this.#pass(socket))
    this.#server = server
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, address, resolve)
    })
    const bound = server.address()
    return typeof bound === 'object' && bound !== null ? bound.port : port
  }

  async close(): Promise<void> {
    const server = this.#server
    if (server === null) return
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  }

  #pass(socket: Socket): void {
    this.#keep(socket)
    if (this.#target === null) {
      socket.resetAndDestroy()
      return
    }
    const { hostname, port } = new URL(`tcp://${this.#target}`)
    const onward = connect(Number(port), hostname)
    this.#keep(onward)
    socket.pipe(onward)
    onward.pipe(socket)
    // A side that breaks takes the other one with it; the client tells its user.
    socket.once('close', () => onward.destroy())
    onward.once('close', () => socket.destroy())
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => this.#sockets.delete(socket))
  }
}
