import { AttemptLimit } from './attempt-limit.ts'

const ADDRESSES = 10_000

/** As many attempts in a sliding window as one address may make. Of IPv6 the first 64 bits count: a host has all the others. */
export class AddressLimit {
  readonly #most: number
  readonly #windowMs: number
  readonly #attempts = new Map<string, AttemptLimit>()

  constructor(most: number, windowMs: number) {
    this.#most = most
    this.#windowMs = windowMs
  }

  /** Counts the attempt; false where it is one too many. */
  admits(address: string, now: number): boolean {
    const key = networkOf(address)
    const known = this.#attempts.get(key) ?? new AttemptLimit(this.#most, this.#windowMs)
    if (known.blocked(now)) return false
    known.fail(now)
    this.#attempts.delete(key)
    const [oldest] = this.#attempts.keys()
    if (oldest !== undefined && this.#attempts.size >= ADDRESSES) this.#attempts.delete(oldest)
    this.#attempts.set(key, known)
    return true
  }
}

/** `2001:db8:1:2::/64` of an IPv6 address, everything of an IPv4 one. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  if (!address.includes(':')) return address
  const [head = '', tail] = address.toLowerCase().split('::')
  const first = head === '' ? [] : head.split(':')
  const last = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - first.length - last.length)
  const groups = [...first, ...Array<string>(zeros).fill('0'), ...last]
  return `${groups.slice(0, 4).join(':')}::/64`
}
