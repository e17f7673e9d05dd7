import { z } from 'zod'
import { FairwayError } from '../model/errors.ts'
import type { InstanceId } from '../model/instance.ts'
import { drainSchema, publishedSchema, type SuccessorOrder } from './control-schema.ts'
import type { SocketDescriptors } from './listening-sockets.ts'
import type { Published } from './plane.ts'

/** Messages between two routers of which the younger took over from the older. Both run on one machine, the older started the younger. */
export interface KinChannel {
  /** Does nothing once the channel is closed. */
  send(message: object): void
  onMessage(listener: (message: unknown) => void): void
  /** The other one ended. */
  onClose(listener: () => void): void
}

export interface Successor {
  readonly pid: number
  readonly channel: KinChannel
}

export type StartSuccessor = (
  order: SuccessorOrder,
  sockets: SocketDescriptors,
) => Promise<Successor>

/** What the younger one asks of the older one while that finishes what it has. */
export type Asked =
  | { readonly ask: 'publish'; readonly number: number; readonly published: Published }
  | { readonly ask: 'drain'; readonly number: number; readonly target: DrainTarget }
  | { readonly ask: 'settle'; readonly number: number }
export type FromSuccessor = Asked | { readonly ask: 'leave' }

export interface DrainTarget {
  readonly id: InstanceId
  readonly deadlineMs: number
}

const fromSuccessor: z.ZodType<FromSuccessor> = z.discriminatedUnion('ask', [
  z.strictObject({ ask: z.literal('publish'), number: z.number(), published: publishedSchema }),
  z.strictObject({ ask: z.literal('drain'), number: z.number(), target: drainSchema }),
  z.strictObject({ ask: z.literal('settle'), number: z.number() }),
  z.strictObject({ ask: z.literal('leave') }),
])
/** `cut` as in the Traffic port; 0 for anything else. */
export const fromPredecessor = z.strictObject({ number: z.number(), cut: z.number() })

export interface SuccessionOptions {
  readonly start: StartSuccessor
  readonly sockets: () => SocketDescriptors
  readonly publish: (published: Published) => Promise<void>
  readonly drain: (id: InstanceId, deadlineMs: number) => Promise<{ readonly cut: number }>
  /** Takes no tables any more but the successor's; resolves when the one that was being stored is. */
  readonly settle: () => Promise<void>
  /** The successor serves: this router takes nothing new any more. */
  readonly succeeded: () => void
  /** The successor ended before it served. */
  readonly failed: () => void
}

/** How a router is replaced by one that it starts itself: the older one's side. */
export class Succession {
  readonly #options: SuccessionOptions
  #state: 'none' | 'under way' | 'done' = 'none'

  constructor(options: SuccessionOptions) {
    this.#options = options
  }

  get done(): boolean {
    return this.#state === 'done'
  }

  /** Starts the next router with our sockets. It serves only later, or never. @throws FairwayError CONFLICT where one is on its way */
  async begin(order: SuccessorOrder): Promise<{ readonly pid: number }> {
    if (this.#state !== 'none') {
      throw new FairwayError('CONFLICT', 'another router is taking over from this one already')
    }
    this.#state = 'under way'
    try {
      const successor = await this.#options.start(order, this.#options.sockets())
      this.#serve(successor.channel)
      return { pid: successor.pid }
    } catch (error) {
      this.#state = 'none'
      throw error
    }
  }

  #serve(channel: KinChannel): void {
    channel.onMessage((message) => void this.#answer(channel, message))
    channel.onClose(() => {
      if (this.#state !== 'under way') return
      this.#state = 'none'
      this.#options.failed()
    })
  }

  async #answer(channel: KinChannel, message: unknown): Promise<void> {
    // The other one may be of another version: what we do not understand ends neither of us.
    const parsed = fromSuccessor.safeParse(message)
    if (!parsed.success) return
    const asked = parsed.data
    if (asked.ask === 'leave') {
      this.#state = 'done'
      this.#options.succeeded()
      return
    }
    const { number } = asked
    const { cut } = await this.#do(asked).catch(() => ({ cut: 0 }))
    channel.send({ number, cut } satisfies z.infer<typeof fromPredecessor>)
  }

  // An older table than ours, or a target that is back in it: the younger one refuses these itself.
  async #do(asked: Asked): Promise<{ readonly cut: number }> {
    if (asked.ask === 'drain') {
      return this.#options.drain(asked.target.id, asked.target.deadlineMs)
    }
    if (asked.ask === 'settle') await this.#options.settle()
    else await this.#options.publish(asked.published)
    return { cut: 0 }
  }
}
