import { SopsError } from '../sops-error.ts'

/** Reads the data types of ssh (RFC 4251 5) from bytes that nobody vouches for. Its methods throw SopsError INVALID_KEY where the bytes end too early. */
export class SshReader {
  readonly #bytes: Buffer
  #position = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#position === this.#bytes.length
  }

  expect(bytes: Buffer): void {
    if (!this.#take(bytes.length).equals(bytes)) throw damaged()
  }

  uint32(): number {
    return this.#take(4).readUInt32BE()
  }

  string(): Buffer {
    return this.#take(this.uint32())
  }

  /** A string that is shown in messages. */
  name(): string {
    return this.string()
      .toString('latin1')
      .replaceAll(/[^\x21-\x7e]/g, '?')
      .slice(0, 64)
  }

  rest(): Buffer {
    return this.#take(this.#bytes.length - this.#position)
  }

  #take(length: number): Buffer {
    const taken = this.#bytes.subarray(this.#position, this.#position + length)
    if (taken.length !== length) throw damaged()
    this.#position += length
    return taken
  }
}

export function sshString(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

/** A leading zero keeps a number from reading as a negative one (RFC 4251 5). */
export function positive(bytes: Buffer): Buffer {
  return ((bytes[0] ?? 0) & 0x80) === 0 ? bytes : Buffer.concat([Buffer.alloc(1), bytes])
}

export function number(bytes: Buffer): bigint {
  return BigInt(`0x0${bytes.toString('hex')}`)
}

export function bytesOf(value: bigint): Buffer {
  const hex = value.toString(16)
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
}

export function damaged(): SopsError {
  return malformed('the key is damaged')
}

export function malformed(message: string): SopsError {
  return new SopsError('INVALID_KEY', `ssh: ${message}`)
}
