import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Lets a server close as soon as its last answer is out. node:http closes only connections that have had a request and are idle at
 * that moment: those that never asked, or whose answer ends later, would hold it for its timeouts.
 */
export class Connections {
  /** Requests under way. */
  readonly #open = new Map<Socket, number>()
  #closing = false

  watch(server: Server): void {
    server.on('connection', (socket: Socket) => {
      this.#open.set(socket, 0)
      socket.once('close', () => this.#open.delete(socket))
    })
    server.on('request', ({ socket }, response) => {
      this.#count(socket, 1)
      response.once('close', () => {
        this.#count(socket, -1)
        if (this.#closing && this.#open.get(socket) === 0) socket.destroySoon()
      })
    })
    // From here on it is no longer HTTP; whoever took it over ends it.
    server.on('upgrade', ({ socket }) => this.#open.delete(socket))
  }

  /** Closes what is idle now, and the others when their answers are out. */
  close(): void {
    this.#closing = true
    for (const [socket, requests] of this.#open) if (requests === 0) socket.destroySoon()
  }

  #count(socket: Socket, change: number): void {
    const requests = this.#open.get(socket)
    if (requests !== undefined) this.#open.set(socket, requests + change)
  }
}
