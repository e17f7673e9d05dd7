/**
 * Text as a terminal shows it: escape sequences take no room, East Asian wide characters and emoji take two cells, combining
 * marks none (a simplification of Unicode TR 11 that is right for names, paths and log lines).
 */

const ESCAPE = /\x1b\[[0-9;]*m/g
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6]|\p{Extended_Pictographic}/u
const NARROW_PICTURE = /[\u00a9\u00ae\u2122\u2139\u2194-\u21aa\u25aa-\u25fe\u2600-\u27bf]/u
const NONE = /[\p{Mn}\p{Me}\u200b-\u200f\ufe00-\ufe0f]/u

/** Number of cells that `text` takes. */
export function textWidth(text: string): number {
  const plain = text.replace(ESCAPE, '')

  if (/^[\x20-\x7e]*$/.test(plain)) return plain.length
  let width = 0
  for (const character of plain) width += cells(character)
  return width
}

/** `text` in at most `width` cells; what is cut shows as `…`. Escape sequences stay whole and are reset where text was cut. */
export function clip(text: string, width: number): string {
  if (width === Infinity || textWidth(text) <= width) return text
  if (width <= 0) return ''
  let used = 0
  let result = ''
  let coloured = false

  for (const part of text.split(/(\x1b\[[0-9;]*m)/)) {
    if (part.startsWith('\x1b[')) {
      result += part
      coloured = true
      continue
    }
    for (const character of part) {
      const next = cells(character)
      if (used + next > width - 1) return `${result}…${coloured ? '\x1b[0m' : ''}`
      used += next
      result += character
    }
  }
  return result
}

export function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - textWidth(text)))
}

/**
 * Text of an app or a server made safe to print: control characters and escape sequences that could move the cursor, set the
 * title or answer for the user are removed. Colours (SGR) stay where `colours` is set. Tabs become spaces.
 */
export function printable(text: string, colours: boolean): string {
  if (/^[^\x00-\x1f\x7f-\x9f]*$/.test(text)) return text
  const kept: string[] = []
  const marked = text.replace(
    // CSI; OSC, DCS, APC, PM and SOS strings up to their end; two-character escapes. ECMA-48 section 5.

    /\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?/g,
    (sequence) => {
      if (!colours || !/^\x1b\[[0-9;]*m$/.test(sequence)) return ''
      kept.push(sequence)
      return '\x00'
    },
  )
  let next = 0

  return marked.replace(/[\x00-\x1f\x7f-\x9f]/g, (character) => {
    if (character === '\x00') return kept[next++] ?? ''
    return character === '\t' ? '    ' : ''
  })
}

function cells(character: string): number {
  if (NONE.test(character)) return 0
  return WIDE.test(character) && !NARROW_PICTURE.test(character) ? 2 : 1
}
