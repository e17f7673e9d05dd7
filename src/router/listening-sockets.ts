import type { Socket as UdpSocket } from 'node:dgram'
import { closeSync } from 'node:fs'
import { Server } from 'node:net'
import type { Address } from '../model/instance.ts'

/** Numbers of the descriptors of listening sockets, by `socketName`. */
export type SocketDescriptors = ReadonlyMap<string, number>

/** How a socket is known to the next router: by what was asked for, so that another configuration finds nothing of its own. */
export function socketName(transport: 'tcp' | 'udp', { host, port }: Address): string {
  return `${transport} ${host}:${String(port)}`
}

/**
 * What a router got from the one before. Both have the same socket in the kernel, with one queue: whoever connects is accepted by one of them, and nobody is
 * reset when the older one closes its descriptor. (Two sockets of one port, SO_REUSEPORT, lose what waits in the queue of the one that closes.)
 */
export class InheritedSockets {
  readonly #left: Map<string, number>

  constructor(descriptors: SocketDescriptors) {
    this.#left = new Map(descriptors)
  }

  has(name: string): boolean {
    return this.#left.has(name)
  }

  /** The descriptor, once; null where the one before had no such socket. */
  take(name: string): number | null {
    const descriptor = this.#left.get(name) ?? null
    this.#left.delete(name)
    return descriptor
  }

  /** What this router has no use for: nobody would ever accept what comes in there. */
  closeRest(): void {
    for (const descriptor of this.#left.values()) closeSync(descriptor)
    this.#left.clear()
  }
}

/**
 * The descriptor of a listening socket; null where it does not listen. Node has no public way to it: where a version of it hides the number, the next router
 * finds nothing and binds by itself.
 */
export function descriptorOf(socket: Server | UdpSocket): number | null {
  const owner: unknown = socket instanceof Server ? socket : dgramState(socket)
  const handle = fieldOf(owner, socket instanceof Server ? '_handle' : 'handle')
  const descriptor = fieldOf(handle, 'fd')
  return typeof descriptor === 'number' && descriptor >= 0 ? descriptor : null
}

// `_handle` of a datagram socket warns (DEP0112).
function dgramState(socket: UdpSocket): unknown {
  const key = Object.getOwnPropertySymbols(socket).find(
    ({ description }) => description === 'state symbol',
  )
  return key === undefined ? null : fieldOf(socket, key)
}

function fieldOf(value: unknown, key: string | symbol): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : null
}
