import { FairwayError } from '../model/errors.ts'

/**
 * Values of a `.env` file: NAME=VALUE lines, `export ` allowed before them, `#` comments, values bare, in single quotes (taken as
 * they stand, over several lines) or in double quotes (with \n, \t, \" and \\). No variables are filled in.
 * @throws FairwayError INVALID_REQUEST with the line; never with a value
 */
export function parseDotenv(text: string, file: string): Record<string, string> {
  const values: Record<string, string> = {}
  const entry =
    /[ \t]*(?:#[^\n]*|(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*('[^']*'|"(?:\\[^]|[^"\\])*"|[^\n]*?)[ \t]*(?:[ \t]#[^\n]*)?)?\r?(?:\n|$)/y
  while (entry.lastIndex < text.length) {
    const start = entry.lastIndex
    const match = entry.exec(text)
    if (match === null) {
      const line = text.slice(0, start).split('\n').length
      throw new FairwayError('INVALID_REQUEST', `${file}:${line}: expected NAME=VALUE`)
    }
    const [, name, value = ''] = match
    if (name !== undefined) values[name] = unquoted(value)
  }
  return values
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' }

function unquoted(value: string): string {
  if (value.startsWith("'")) return value.slice(1, -1)
  if (!value.startsWith('"')) return value.trimEnd()
  return value
    .slice(1, -1)
    .replace(/\\([^])/g, (_, character: string) => ESCAPES[character] ?? character)
}
