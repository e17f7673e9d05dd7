import { performServerHandshake, type ServerHttp2Session } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { RequestOrigin } from './downstream.ts'
import { Http2Exchange } from './http2-exchange.ts'
import type { RouterLimits } from './limits.ts'
import type { Plane } from './plane.ts'

export interface Http2SessionOptions {
  readonly limits: RouterLimits
  readonly plane: Plane
  readonly origin: RequestOrigin
}

/** Serves HTTP/2 on a socket whose handshake has agreed on it (ALPN h2); every stream goes the way of an HTTP/1 request. */
export function openHttp2Session(
  socket: TLSSocket,
  { limits, plane, origin }: Http2SessionOptions,
): ServerHttp2Session {
  const session = performServerHandshake(socket, {
    maxSessionMemory: 10,
    maxHeaderListPairs: limits.headerFields + 10,
    maxSessionInvalidFrames: 100,
    maxSessionRejectedStreams: 100,
    settings: {
      maxConcurrentStreams: 128,
      maxHeaderListSize: limits.headBytes,
      initialWindowSize: 262_144,
      enablePush: false,
    },
  })
  session.setTimeout(limits.idleTimeoutMs, () => {
    session.close()
  })
  // 'close' follows.
  session.on('error', () => undefined)
  session.on('stream', (stream, _headers, _flags, raw) => {
    new Http2Exchange(stream).start(raw, origin, plane)
  })
  return session
}
