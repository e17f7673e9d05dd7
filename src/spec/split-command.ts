/** Characters that only a shell gives a meaning to. */
const SHELL = new Set(['|', '&', ';', '<', '>', '(', ')', '$', '`', '\n', '*'])

export type SplitCommand =
  | { readonly ok: true; readonly argv: readonly string[] }
  | { readonly ok: false; readonly reason: string }

/**
 * Splits 'node server.js --name "a b"' into argv the way a shell would, with quotes and backslashes but without expanding anything: `$PORT` stays as it is.
 * What needs a shell is not guessed at: the result then says which character it was.
 */
export function splitCommand(text: string): SplitCommand {
  const words: string[] = []
  let word: string | null = null
  let index = 0
  while (index < text.length) {
    const char = text.charAt(index)
    if (char === ' ' || char === '\t') {
      if (word !== null) words.push(word)
      word = null
      index++
      continue
    }
    const piece = readPiece(text, index, word === null)
    if ('reason' in piece) return { ok: false, reason: piece.reason }
    word = (word ?? '') + piece.text
    index = piece.end
  }
  if (word !== null) words.push(word)
  if (words.length === 0) return { ok: false, reason: 'the command is empty' }
  if (/^[A-Za-z_]\w*=/.test(words[0] ?? '')) return { ok: false, reason: needsShell('NAME=value') }
  return { ok: true, argv: words }
}

type Piece = { readonly text: string; readonly end: number } | { readonly reason: string }

function readPiece(text: string, start: number, atWordStart: boolean): Piece {
  const char = text.charAt(start)
  if (char === "'") return readSingleQuoted(text, start)
  if (char === '"') return readDoubleQuoted(text, start)
  if (char === '\\') {
    if (start + 1 >= text.length) return { reason: 'a backslash at the end escapes nothing' }
    return { text: text.charAt(start + 1), end: start + 2 }
  }
  const port = portAt(text, start)
  if (port !== null) return { text: port, end: start + port.length }
  const special = SHELL.has(char) || (atWordStart && (char === '~' || char === '#'))
  if (special) return { reason: needsShell(char) }
  return { text: char, end: start + 1 }
}

function readSingleQuoted(text: string, start: number): Piece {
  const end = text.indexOf("'", start + 1)
  if (end < 0) return { reason: "the quote ' is not closed" }
  return { text: text.slice(start + 1, end), end: end + 1 }
}

function readDoubleQuoted(text: string, start: number): Piece {
  let value = ''
  for (let index = start + 1; index < text.length; index++) {
    const char = text.charAt(index)
    if (char === '"') return { text: value, end: index + 1 }
    const port = portAt(text, index)
    if (port !== null) {
      value += port
      index += port.length - 1
      continue
    }
    if (char === '$' || char === '`') return { reason: needsShell(char) }
    if (char === '\\' && '"\\$`'.includes(text.charAt(index + 1)) && index + 1 < text.length) {
      index++
      value += text.charAt(index)
    } else value += char
  }
  return { reason: 'the quote " is not closed' }
}

/** `$PORT` stays as it is: runners put the port in (lib/port-argument.ts). */
function portAt(text: string, index: number): string | null {
  return /^\$(?:PORT\b|\{PORT\})/.exec(text.slice(index, index + 8))?.[0] ?? null
}

function needsShell(what: string): string {
  return `${JSON.stringify(what)} needs a shell, and commands run without one`
}
