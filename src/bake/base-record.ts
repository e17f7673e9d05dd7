/** What was last made of a base recipe. */
export class BaseRecord {
  readonly key: string
  /** Milliseconds since 1970 at which the package index was asked. */
  readonly at: number
  /** 'Debian 12, 9 packages'. */
  readonly label: string

  constructor(key: string, at: number, label: string) {
    this.key = key
    this.at = at
    this.label = label
  }

  /** Null for what was written by another version: the base is made anew. */
  static parse(text: string | null): BaseRecord | null {
    if (text === null) return null
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null) return null
    if (!('key' in value) || !('at' in value) || !('label' in value)) return null
    const { key, at, label } = value
    if (typeof key !== 'string' || typeof at !== 'number' || typeof label !== 'string') return null
    return new BaseRecord(key, at, label)
  }

  toText(): string {
    return JSON.stringify({ key: this.key, at: this.at, label: this.label })
  }
}
