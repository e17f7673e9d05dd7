import type { Service } from '../model/traffic.ts'
import { Counters } from './counters.ts'
import type { Exchange } from './exchange.ts'
import type { TargetState } from './target.ts'

/** One service across tables: its targets, its counters and the requests that wait for a first target. */
export class ServiceState {
  readonly key: string
  readonly counters = new Counters()
  readonly #heldLimit: number
  readonly #random: () => number
  #service: Service
  #targets: readonly TargetState[] = []
  #even = true
  readonly #held = new Set<Exchange>()

  constructor(service: Service, heldLimit: number, random: () => number) {
    this.key = service.key
    this.#service = service
    this.#heldLimit = heldLimit
    this.#random = random
  }

  /** Takes over what a new table says; what is held tries again as soon as there is a target, and is given up where none is expected. */
  update(service: Service, targets: readonly TargetState[]): void {
    this.#service = service
    this.#targets = targets.filter((target) => target.weight > 0)
    const first = this.#targets[0]?.weight ?? 0
    this.#even = this.#targets.every((target) => target.weight === first)
    if (this.#targets.length > 0) this.#takeHeld().forEach((exchange) => exchange.release())
    else if (!service.expected) this.#takeHeld().forEach((exchange) => exchange.giveUp())
  }

  /** No table names it any more. */
  remove(): void {
    this.#targets = []
    this.#takeHeld().forEach((exchange) => exchange.giveUp())
  }

  /**
   * The target with the fewest requests in flight, chance among equals. Where weights differ they are shares of the requests: a class of equal weight is drawn
   * first, so that a canary of weight 5 beside 95 gets its 5 % also when nothing is in flight.
   */
  pick(tried: readonly TargetState[], now: number): TargetState | null {
    const targets = this.#targets
    if (tried.length === 0 && this.#even) {
      const only = targets[0]
      if (targets.length === 1 && only !== undefined) return only
      const best = this.#idlest(targets, now)
      if (best !== null) return best
      return this.#idlest(targets, Infinity)
    }
    const left = targets.filter((target) => !tried.includes(target))
    const healthy = left.filter((target) => target.asideUntil <= now)
    const from = healthy.length > 0 ? healthy : left
    return this.#idlest(this.#even ? from : this.#draw(from), Infinity)
  }

  hasOther(target: TargetState): boolean {
    return this.#targets.some((other) => other !== target)
  }

  /** Keeps the request until a target comes; false where it is not worth it. */
  hold(exchange: Exchange, now: number): boolean {
    if (!this.#service.expected || this.#held.size >= this.#heldLimit) return false
    exchange.heldUntil = now + this.#service.holdMs
    this.#held.add(exchange)
    this.counters.held()
    return true
  }

  forget(exchange: Exchange): void {
    this.#held.delete(exchange)
  }

  /** Gives up what was held too long. */
  sweep(now: number): void {
    if (this.#held.size === 0) return
    for (const exchange of this.#held) {
      if (exchange.heldUntil > now) continue
      this.#held.delete(exchange)
      exchange.giveUp()
    }
  }

  #takeHeld(): Exchange[] {
    const held = [...this.#held]
    this.#held.clear()
    return held
  }

  #idlest(targets: readonly TargetState[], now: number): TargetState | null {
    let best: TargetState | null = null
    let fewest = Infinity
    let equals = 0
    for (const target of targets) {
      if (target.asideUntil > now) continue
      const inflight = target.holders.size
      if (inflight < fewest) {
        best = target
        fewest = inflight
        equals = 1
      } else if (inflight === fewest) {
        equals++
        if (this.#random() * equals < 1) best = target
      }
    }
    return best
  }

  #draw(targets: readonly TargetState[]): readonly TargetState[] {
    let total = 0
    for (const target of targets) total += target.weight
    let point = this.#random() * total
    for (const target of targets) {
      point -= target.weight
      if (point < 0) return targets.filter((other) => other.weight === target.weight)
    }
    return targets
  }
}
