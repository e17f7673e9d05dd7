import { createServer } from 'node:net'
import { FairwayError } from '../model/errors.ts'

export interface PortRange {
  readonly first: number
  readonly count: number
}

/**
 * Neither is a range from which a system hands out ports by itself (Linux: from 32768 on, macOS: from 49152): there whoever opens a connection could get
 * the port before the instance listens, or the router is there again.
 */
export const DOORS: PortRange = { first: 20_100, count: 6_800 }
export const INSTANCES: PortRange = { first: 26_900, count: 5_860 }

const TRIES = 1000
const PROMISED_MS = 60_000

/** Ports of loopback for what is about to listen. */
export class PortChoice {
  readonly #promised = new Set<number>()
  readonly #random: () => number

  constructor(random: () => number) {
    this.#random = random
  }

  /**
   * Until somebody listens at it, nothing but this object keeps the port from another one, for a minute.
   * @param taken what somebody has who need not listen just now
   * @throws FairwayError INSTANCE_FAILED where no port of the range is found
   */
  async choose({ first, count }: PortRange, taken: ReadonlySet<number>): Promise<number> {
    for (let tries = 0; tries < TRIES; tries++) {
      const port = first + Math.floor(this.#random() * count)
      if (taken.has(port) || this.#promised.has(port) || !(await isFree(port))) continue
      // Another call may have taken it while we looked.
      if (this.#promised.has(port)) continue
      this.#promised.add(port)
      setTimeout(() => this.#promised.delete(port), PROMISED_MS).unref()
      return port
    }
    const range = `${String(first)} to ${String(first + count - 1)}`
    throw new FairwayError('INSTANCE_FAILED', `no port from ${range} is free on loopback`)
  }
}

/** Whether nobody listens there now. */
export async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    return await new Promise<boolean>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EADDRINUSE') resolve(false)
        else reject(error)
      })
      server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
        resolve(true)
      })
    })
  } finally {
    server.close()
  }
}
