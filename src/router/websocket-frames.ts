/** Follows WebSocket frames (RFC 6455 5.2) in bytes that pass by, to know when another frame may be put between them. */
export class WebsocketFrames {
  #header = 0
  #size = 2
  #length = 0n
  #remaining = 0
  #first = 0
  #closed = false
  #lost = false

  /** True where the last byte seen ended a frame and no close frame was sent. */
  get between(): boolean {
    return !this.#lost && !this.#closed && this.#remaining === 0 && this.#header === 0
  }

  pass(bytes: Uint8Array, from: number, to: number): void {
    let at = from
    while (at < to && !this.#lost) {
      if (this.#remaining > 0) {
        const taken = Math.min(this.#remaining, to - at)
        this.#remaining -= taken
        at += taken
      } else {
        this.#headerByte(bytes[at] ?? 0)
        at++
      }
    }
  }

  #headerByte(byte: number): void {
    if (this.#header === 0) {
      this.#first = byte
      this.#size = 2
      this.#length = 0n
    } else if (this.#header === 1) {
      const length = byte & 127
      const extended = length === 126 ? 2 : length === 127 ? 8 : 0
      this.#size = 2 + extended + ((byte & 128) !== 0 ? 4 : 0)
      this.#length = extended === 0 ? BigInt(length) : 0n
      this.#extended = extended
    } else if (this.#header < 2 + this.#extended) {
      this.#length = (this.#length << 8n) | BigInt(byte)
    }
    this.#header++
    if (this.#header < this.#size) return
    this.#header = 0
    this.#remaining = Number(this.#length)
    if ((this.#first & 15) === 8) this.#closed = true
    // A length that no frame has: from here on the bytes mean nothing to us.
    if (this.#length > BigInt(Number.MAX_SAFE_INTEGER)) this.#lost = true
  }

  #extended = 0
}

/** A close frame 1001 (going away); clients must mask theirs (RFC 6455 5.3). */
export function goingAwayFrame(mask: Uint8Array | null): Buffer {
  const code = Buffer.from([0x03, 0xe9])
  if (mask === null) return Buffer.concat([Buffer.from([0x88, 0x02]), code])
  const masked = code.map((byte, index) => byte ^ (mask[index] ?? 0))
  return Buffer.concat([Buffer.from([0x88, 0x82]), mask.subarray(0, 4), masked])
}
