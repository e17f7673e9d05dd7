import { Duplex, type Readable, type Writable } from 'node:stream'

/** The parts of a child process that was started with pipes. */
interface PipedChild {
  readonly stdin: Writable | null
  readonly stdout: Readable | null
}

/** Standard input and output of a child as one stream. Input after its end is dropped, as a terminal does. */
export class ChildDuplex extends Duplex {
  readonly #input: Writable
  readonly #output: Readable

  constructor({ stdin, stdout }: PipedChild) {
    super({ allowHalfOpen: true })
    if (stdin === null || stdout === null) throw new TypeError('the child has no pipes')
    this.#input = stdin
    this.#output = stdout
    stdin.on('error', () => undefined)
    stdout.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) stdout.pause()
    })
    stdout.once('close', () => this.push(null))
    stdout.once('error', (error) => this.destroy(error))
  }

  override _read(): void {
    this.#output.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (!this.#input.writable || this.#input.write(chunk)) {
      done()
      return
    }
    const go = (): void => {
      this.#input.off('drain', go)
      this.#input.off('close', go)
      done()
    }
    this.#input.on('drain', go)
    this.#input.on('close', go)
  }

  override _final(done: () => void): void {
    this.#input.end()
    done()
  }
}
