import {
  extendHash,
  HASH_SEED,
  isToken,
  TOKEN,
  type FieldRules,
  type KnownField,
} from './field-name.ts'

const COLON = 58
const SPACE = 32
const TAB = 9

/** The field section of a head: what concerns the proxy taken apart, the rest kept as lines to pass on. */
export class Fields {
  /** Lines with CRLF that go to the other side unchanged. */
  kept = ''
  hosts = 0
  host = ''
  /** -1 where absent. */
  length = -1
  chunked = false
  close = false
  keepAlive = false
  /** True where Connection names `upgrade`. */
  upgrading = false
  upgrade = ''
  expect = ''
  requestId = ''
  /** Value of Keep-Alive. */
  keepAliveValue = ''
  accept = ''
  /** Names that Connection declares hop-by-hop. */
  nominated: Set<string> | null = null
}

/**
 * Parses field lines of a scanned head (no controls but HTAB, CR only before LF) from `from` to `to`, where the empty line starts.
 * Null where a line breaks RFC 9112 section 5 or 6: bad or empty name, space before the colon, folded line, repeated or contradicting framing.
 */
export function parseFields(
  text: string,
  from: number,
  to: number,
  rules: FieldRules,
): Fields | null {
  const fields = new Fields()
  let run = from
  let at = from
  while (at < to) {
    const colon = scanName(text, at, to)
    if (colon < 0) return null
    let end = text.indexOf('\r\n', colon)
    if (end < 0 || end > to) end = to
    const known = lookUp(text, at, colon, rules)
    if (known !== null) {
      const kept = applyField(fields, known, text, at, colon, end)
      if (kept === 'refuse') return null
      if (kept === 'drop') {
        if (run < at) fields.kept += text.slice(run, at)
        run = end + 2
      }
    }
    at = end + 2
  }
  if (run < to) fields.kept += text.slice(run, to)
  if (fields.length >= 0 && fields.chunked) return null
  if (fields.nominated !== null) fields.kept = withoutFields(fields.kept, fields.nominated)
  return fields
}

// The colon's position, or -1. The hash of the name is computed by `lookUp` in a second pass over few bytes: two small loops are faster than one that returns two values.
function scanName(text: string, from: number, to: number): number {
  let at = from
  while (at < to) {
    const code = text.charCodeAt(at)
    if (code === COLON) return at === from ? -1 : at
    if (TOKEN[code] === 0) return -1
    at++
  }
  return -1
}

const FORWARDED: KnownField = { name: 'x-forwarded-*', rule: 'drop' }

function lookUp(text: string, from: number, colon: number, rules: FieldRules): KnownField | null {
  let hash = HASH_SEED
  for (let at = from; at < colon; at++) hash = extendHash(hash, TOKEN[text.charCodeAt(at)] ?? 0)
  const known = rules.get(hash)
  if (known !== undefined && plain(text, from, colon) === known.name) return known
  const first = text.charCodeAt(from) | 32
  // Inbound X-Forwarded-* is never believed and never passed on; in a response it means nothing and goes too.
  if (first === 120 && colon - from > 11 && plain(text, from, from + 12) === 'x-forwarded-') {
    return FORWARDED
  }
  return null
}

function plain(text: string, from: number, to: number): string {
  return text.slice(from, to).toLowerCase().replaceAll('_', '-')
}

/** The kept lines without those whose name is in `names` (lower case). */
function withoutFields(lines: string, names: ReadonlySet<string>): string {
  let kept = ''
  for (const line of lines.split('\r\n')) {
    if (line === '') continue
    if (!names.has(line.slice(0, line.indexOf(':')).toLowerCase())) kept += `${line}\r\n`
  }
  return kept
}

type Applied = 'keep' | 'drop' | 'refuse'

function applyField(
  fields: Fields,
  known: KnownField,
  text: string,
  from: number,
  colon: number,
  end: number,
): Applied {
  if (known.rule === 'drop') return 'drop'
  if (text.slice(from, colon).includes('_')) {
    return known.rule === 'length' || known.rule === 'coding' || known.rule === 'host'
      ? 'refuse'
      : 'drop'
  }
  const value = trimmed(text, colon + 1, end)
  switch (known.rule) {
    case 'host':
      fields.hosts++
      fields.host = value
      return 'drop'
    case 'length':
      return applyLength(fields, value)
    case 'coding':
      // Exactly one `chunked` and nothing else: no list, no parameters, no second line (RFC 9112 6.1).
      if (fields.chunked || value.toLowerCase() !== 'chunked') return 'refuse'
      fields.chunked = true
      return 'drop'
    case 'connection':
      return applyConnection(fields, value)
    case 'accept':
      fields.accept = value
      return 'keep'
    default:
      return applyOther(fields, known.rule, value)
  }
}

function applyOther(
  fields: Fields,
  rule: 'upgrade' | 'expect' | 'request-id' | 'keep-alive',
  value: string,
): Applied {
  if (rule === 'upgrade')
    fields.upgrade = fields.upgrade === '' ? value : `${fields.upgrade}, ${value}`
  else if (rule === 'expect')
    fields.expect = fields.expect === '' ? value : `${fields.expect}, ${value}`
  else if (rule === 'request-id') fields.requestId = value
  else fields.keepAliveValue = value
  return 'drop'
}

// A second Content-Length is refused also where it is the same: no client needs it, every desync does.
function applyLength(fields: Fields, value: string): Applied {
  if (fields.length >= 0 || value.length === 0 || value.length > 15) return 'refuse'
  let length = 0
  for (let at = 0; at < value.length; at++) {
    const digit = value.charCodeAt(at) - 48
    if (digit < 0 || digit > 9) return 'refuse'
    length = length * 10 + digit
  }
  fields.length = length
  return 'drop'
}

function applyConnection(fields: Fields, value: string): Applied {
  if (value === 'keep-alive') fields.keepAlive = true
  else if (value === 'close') fields.close = true
  else {
    for (const part of value.split(',')) {
      const option = part.trim().toLowerCase()
      if (option === '') continue
      if (!isToken(option)) return 'refuse'
      if (option === 'keep-alive') fields.keepAlive = true
      else if (option === 'close') fields.close = true
      else if (option === 'upgrade') fields.upgrading = true
      else (fields.nominated ??= new Set()).add(option)
    }
  }
  return 'drop'
}

function trimmed(text: string, from: number, to: number): string {
  let start = from
  let end = to
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB
}
