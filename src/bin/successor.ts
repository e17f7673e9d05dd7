import { closeSync, openSync } from 'node:fs'
import { z } from 'zod'
import { start } from '../lib/process.ts'
import type { SuccessorOrder } from '../router/control-schema.ts'
import type { SocketDescriptors } from '../router/listening-sockets.ts'
import type { KinChannel, Successor } from '../router/succession.ts'

/** Last argument of a router that takes over: the names of the sockets that it got, the first one as descriptor 4, the next ones after it. */
const INHERITS = '--inherits='
/** After standard input, output and error, and the channel to the router before. */
const FIRST_DESCRIPTOR = 4

/** Starts the next router with our listening sockets and a channel to us. @throws ProgramError where it cannot be started */
export async function startSuccessor(
  order: SuccessorOrder,
  sockets: SocketDescriptors,
): Promise<Successor> {
  const log = openSync(order.log, 'a', 0o600)
  try {
    const names = JSON.stringify([...sockets.keys()])
    const child = await start(order.program, [...order.args, `${INHERITS}${names}`], {
      env: order.env,
      stdio: ['ignore', log, log, 'ipc', ...sockets.values()],
      detached: true,
    })
    child.unref()
    child.channel?.unref()
    return { pid: child.pid ?? 0, channel: channelTo(child) }
  } finally {
    closeSync(log)
  }
}

/** The sockets that the router before handed to this process; null where it was not started by one. */
export function inheritedSockets(argv: readonly string[]): SocketDescriptors | null {
  const argument = argv.find((candidate) => candidate.startsWith(INHERITS))
  if (argument === undefined) return null
  const names = z.array(z.string()).parse(JSON.parse(argument.slice(INHERITS.length)))
  return new Map(names.map((name, index) => [name, FIRST_DESCRIPTOR + index]))
}

/** To the router before; null where this process was not started by one. */
export function channelToPredecessor(): KinChannel | null {
  if (process.send === undefined) return null
  const channel = channelTo(process)
  // Listening for messages would keep this process alive after its end.
  process.channel?.unref()
  return channel
}

/** A child, or ourselves towards our parent. */
interface Peer {
  readonly connected: boolean
  readonly send?: typeof process.send
  on(event: 'message', listener: (message: unknown) => void): unknown
  on(event: 'disconnect', listener: () => void): unknown
}

function channelTo(peer: Peer): KinChannel {
  return {
    send: (message) => {
      // What goes wrong goes to the callback: a process that ends just now must not take us along.
      if (peer.connected) peer.send?.(message, undefined, undefined, () => undefined)
    },
    onMessage: (listener) => void peer.on('message', listener),
    onClose: (listener) => void peer.on('disconnect', listener),
  }
}
