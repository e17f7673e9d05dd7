/** One paragraph of a control file (deb822(5)); keys in lower case, continuation lines joined by newlines without their first space. */
export type ControlStanza = ReadonlyMap<string, string>

/**
 * Splits a control file into its paragraphs. `#` lines are comments.
 * @throws SyntaxError naming the line (from 1) which is neither a field, a continuation nor a comment
 */
export function parseStanzas(text: string): ControlStanza[] {
  const stanzas: ControlStanza[] = []
  let current = new Map<string, string>()
  let field = ''
  const finish = (): void => {
    if (current.size > 0) stanzas.push(current)
    current = new Map()
    field = ''
  }
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw
    if (line.startsWith('#')) continue
    if (line.trim() === '') finish()
    else if (line.startsWith(' ') || line.startsWith('\t')) {
      if (field === '') throw new SyntaxError(`line ${index + 1} continues no field`)
      current.set(field, `${current.get(field) ?? ''}\n${line.slice(1)}`)
    } else {
      const colon = line.indexOf(':')
      if (colon < 1) throw new SyntaxError(`line ${index + 1} is no "Field: value"`)
      field = line.slice(0, colon).trim().toLowerCase()
      if (current.has(field)) throw new SyntaxError(`line ${index + 1} repeats the field ${field}`)
      current.set(field, line.slice(colon + 1).trim())
    }
  }
  finish()
  return stanzas
}

/** Words of a field, separated by white space. */
export function words(value: string | undefined): string[] {
  return (value ?? '').split(/\s+/).filter((word) => word !== '')
}
