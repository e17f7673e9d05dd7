/** Keeps the last lines of a text that comes in pieces. */
export class LastLines {
  readonly #limit: number
  #lines: string[] = []
  #rest = ''

  constructor(limit = 50) {
    this.#limit = limit
  }

  push(text: string): void {
    const parts = `${this.#rest}${text}`.split('\n')
    this.#rest = (parts.pop() ?? '').slice(-8192)
    this.#lines = [...this.#lines, ...parts].slice(-this.#limit)
  }

  lines(): readonly string[] {
    return this.#rest === '' ? this.#lines : [...this.#lines, this.#rest].slice(-this.#limit)
  }
}
