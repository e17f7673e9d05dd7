import { SopsError } from './sops-error.ts'

/**
 * A regular expression of Go (RE2) as one of JavaScript that matches the same keys. @throws SopsError INVALID_METADATA for one that Go would refuse
 * (look-around, back-references) or that has no counterpart here
 */
export function goRegex(source: string): RegExp {
  const flags = /^\(\?([ims]+)\)/.exec(source)
  const body = flags === null ? source : source.slice(flags[0].length)
  try {
    return new RegExp(
      translated(body, flags?.[1]?.includes('s') ?? false),
      `u${(flags?.[1] ?? '').replace('s', '')}`,
    )
  } catch (cause) {
    if (cause instanceof SopsError) throw cause
    throw new SopsError(
      'INVALID_METADATA',
      `${JSON.stringify(source)} is no regular expression`,
      cause,
    )
  }
}

const CLASSES: Readonly<Record<string, string>> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  digit: '0-9',
  lower: 'a-z',
  upper: 'A-Z',
  space: '\\t\\n\\v\\f\\r ',
  word: '0-9A-Za-z_',
  xdigit: '0-9A-Fa-f',
}
const TOKEN = /\\[\s\S]|\[:\w+:\]|\(\?[^)]?<?|\[\^?\]?|[\s\S]/gu

function translated(body: string, dotAll: boolean): string {
  let inClass = false
  let out = ''
  for (const [token] of body.matchAll(TOKEN)) {
    if (token.startsWith('\\')) out += escape(token)
    else if (inClass) {
      const named = CLASSES[token.slice(2, -2)]
      out +=
        token.length > 3 && token.startsWith('[:')
          ? (named ?? refuse(token))
          : token === '['
            ? '\\['
            : token
      if (token === ']') inClass = false
    } else if (token.startsWith('[')) {
      inClass = true
      out += token.endsWith(']') ? `${token.slice(0, -1)}\\]` : token
    } else if (token.startsWith('(?')) out += group(token)
    else out += token === '.' ? (dotAll ? '[\\s\\S]' : '[^\\n]') : token
  }
  return out
}

function escape(token: string): string {
  if (/^\\[1-9kpPQECG]/.test(token)) return refuse(token)
  if (token === '\\z') return '(?![\\s\\S])'
  if (token === '\\A') return '(?<![\\s\\S])'
  if (token === '\\a') return '\\x07'
  // JavaScript's u mode knows no escape of punctuation that means nothing.
  return /^\\[!"#%&',:;<=>@_`~]$/.test(token) ? token.slice(1) : token
}

function group(token: string): string {
  if (token === '(?P<' || token === '(?<') return '(?<'
  if (token === '(?:') return '(?:'
  if (/^\(\?[imsU-]$/.test(token)) return token.endsWith('U') ? refuse(token) : token
  return refuse(token)
}

function refuse(token: string): never {
  throw new SopsError('INVALID_METADATA', `regular expressions with ${token} are not supported`)
}
