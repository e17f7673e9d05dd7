import type { FastifyInstance, FastifyReply } from 'fastify'
import { ServerResponse, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { Socket } from 'node:net'
import { WebSocketServer, type WebSocket } from 'ws'
import { MAX_EXEC_MESSAGE } from '../contract/exec-message.ts'
import { FairwayError } from '../model/errors.ts'

/**
 * Sends WebSocket upgrades through the ordinary routes: every check runs before a connection is accepted, and refusals are
 * ordinary answers.
 */
export class Upgrades {
  readonly #waiting = new WeakMap<IncomingMessage, { socket: Socket; head: Buffer }>()
  readonly #server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MAX_EXEC_MESSAGE,
  })

  /** Only WebSockets: everything else that asks for an upgrade (h2c) is served as an ordinary request. */
  static wanted(request: IncomingMessage): boolean {
    return request.headers.upgrade?.toLowerCase() === 'websocket'
  }

  listen(app: FastifyInstance): void {
    app.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (!(socket instanceof Socket)) {
        socket.destroy()
        return
      }
      // 'close' follows; a client that breaks off is nothing to report.
      socket.on('error', () => undefined)
      this.#waiting.set(request, { socket, head })
      const response = new ServerResponse(request)
      response.shouldKeepAlive = false
      response.assignSocket(socket)
      response.once('finish', () => {
        if (this.#waiting.has(request)) socket.end()
      })
      app.routing(request, response)
    })
  }

  isUpgrade(request: IncomingMessage): boolean {
    return this.#waiting.has(request)
  }

  /** Takes the connection over. @throws FairwayError INVALID_REQUEST where the request is no WebSocket upgrade */
  async accept(request: IncomingMessage, reply: FastifyReply): Promise<WebSocket> {
    const waiting = this.#waiting.get(request)
    if (waiting === undefined || request.headers['sec-websocket-key'] === undefined) {
      throw new FairwayError('INVALID_REQUEST', 'expected a WebSocket upgrade')
    }
    this.#waiting.delete(request)
    const { socket, head } = waiting
    reply.hijack()
    reply.raw.detachSocket(socket)
    socket.setTimeout(0)
    return await new Promise((resolve, reject) => {
      socket.once('close', () => reject(new FairwayError('INVALID_REQUEST', 'the client left')))
      this.#server.handleUpgrade(request, socket, head, resolve)
    })
  }
}
