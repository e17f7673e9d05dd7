/** What may stand on one line of a YAML that needs no library: plain-yaml.ts and plain-metadata.ts say which that is. */

/** A key and its colon, from `lastIndex` on; what follows is a space or the end of the line. */
export function keyPattern(): RegExp {
  return /([A-Za-z_][\w./-]*|"[^"\\\n]*"|'[^'\n]*'):(?=[ \n]|$)/y
}

/** What the library would have to look at: tabs, carriage returns, marks of documents and of byte order, spaces at ends. */
export const STRANGE = /[\t\r\ufeff]|^(?:---|\.\.\.|%)| $/m

const PLAIN_START = /^(?:[^-?:,[\]{}#&*!|>'"%@` ]|-[^\s-])/
const QUOTED = /^(?:"([^"\\]*)"|'([^']*)')(?: +#(.*))?$/

export interface LineValue {
  readonly text: string
  readonly isQuoted: boolean
  /** As it stands, with quotes. */
  readonly length: number
  /** Behind `#`; null = none. */
  readonly comment: string | null
}

/** A value that ends on its line, and a comment behind it; null for anything else (escapes, blocks, flows, anchors, tags). @param source to the end of the line */
export function lineValue(source: string): LineValue | null {
  const first = source[0]
  if (first === '"' || first === "'") {
    const match = QUOTED.exec(source)
    if (match === null) return null
    const text = match[1] ?? match[2] ?? ''
    return { text, isQuoted: true, length: text.length + 2, comment: match[3] ?? null }
  }
  const behind = source.indexOf(' #')
  const text = behind === -1 ? source : source.slice(0, behind).replace(/ +$/, '')
  if (!PLAIN_START.test(text) || text.includes(': ') || text.endsWith(':')) return null
  const comment = behind === -1 ? null : source.slice(behind + 2)
  return { text, isQuoted: false, length: text.length, comment }
}
