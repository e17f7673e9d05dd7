/** Plain scalars as go-yaml v3 resolves them (resolve.go): neither YAML 1.1 nor the 1.2 core schema. */
import { floatLiteral, floatText, isInt64, NULL, scalar, textOf, type Scalar } from './scalar.ts'
import { SopsError } from './sops-error.ts'

const WORDS: Readonly<Record<string, Scalar>> = {
  '': NULL,
  '~': NULL,
  null: NULL,
  Null: NULL,
  NULL,
  true: scalar('bool', 'True'),
  True: scalar('bool', 'True'),
  TRUE: scalar('bool', 'True'),
  false: scalar('bool', 'False'),
  False: scalar('bool', 'False'),
  FALSE: scalar('bool', 'False'),
  '.nan': scalar('float', 'NaN'),
  '.NaN': scalar('float', 'NaN'),
  '.NAN': scalar('float', 'NaN'),
}
const LONGEST_WORD = 5
const INFINITY = /^([-+]?)\.(inf|Inf|INF)$/
const FLOAT = /^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$/
const INT = /^([-+]?)(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0[0-7]*|[1-9][0-9]*)$/
const TIME =
  /^(\d{4})-(\d{1,2})-(\d{1,2})(?:(?:([Tt])(\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,](\d+))?(Z|[+-]\d\d:\d\d))|(?: (\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,](\d+))?))?$/

/** What a plain (unquoted) scalar means. @throws SopsError INVALID_DOCUMENT for whole numbers beyond int64, which sops refuses */
export function plainScalar(source: string): Scalar {
  // Asking for a long text as a name would intern it.
  const isShort = source.length <= LONGEST_WORD
  const word = isShort && Object.hasOwn(WORDS, source) ? WORDS[source] : undefined
  if (word !== undefined) return word
  const infinite = INFINITY.exec(source)
  if (infinite !== null) return scalar('float', infinite[1] === '-' ? '-Inf' : '+Inf')
  if (!/^[-+.0-9]/.test(source)) return scalar('str', source)
  return timeScalar(source) ?? numberScalar(source) ?? scalar('str', source)
}

/** A value as YAML. `block` is the indentation for a literal block of several lines; null where none may stand (flow, a comment behind). */
export function yamlText(
  value: Scalar,
  { flow, block }: { flow: boolean; block: number | null },
): string {
  const text = textOf(value)
  switch (value.type) {
    case 'null':
      return 'null'
    case 'bool':
      return text === 'True' ? 'true' : 'false'
    case 'float':
      return text === 'NaN' ? '.nan' : floatLiteral(text.replace(/^([+-]?)Inf$/, '$1.inf'))
    case 'int':
    case 'time':
      return text
    default:
      return stringText(text, flow, block)
  }
}

function stringText(text: string, flow: boolean, block: number | null): string {
  if (isPlain(text, flow)) return text
  if (block !== null && isLiteral(text)) {
    const header = text.endsWith('\n') ? '|' : '|-'
    const body = text.replace(/\n$/, '').replace(/^(?=.)/gm, ' '.repeat(block))
    return `${header}\n${body}`
  }
  return JSON.stringify(text).replace(
    /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function isPlain(text: string, flow: boolean): boolean {
  if (flow) return /^[A-Za-z_][\w.@%+=-]*$/.test(text) && plainScalar(text).type === 'str'
  return (
    /^[A-Za-z_/$][\x21-\x7e ]*$/.test(text) &&
    !/: | #|[: ]$/.test(text) &&
    plainScalar(text).type === 'str'
  )
}

function isLiteral(text: string): boolean {
  return (
    text.includes('\n') &&
    /^[\x20-\x7e\u00a0-\u2027\u2030-\ud7ff\n]+$/.test(text) &&
    !/^[ \n]|\n\n$|^ +$/.test(text) &&
    !/^ +$/m.test(text)
  )
}

function numberScalar(source: string): Scalar | null {
  const digits = source.replaceAll('_', '')
  const int = INT.exec(digits)
  if (int !== null) {
    const [, sign = '', body = ''] = int
    const literal = /^0[0-7]+$/.test(body) ? `0o${body.slice(1)}` : body
    const value = sign === '-' ? -BigInt(literal) : BigInt(literal)
    if (isInt64(value)) return scalar('int', String(value))
    if (value > 0n && value < 2n ** 64n) {
      throw new SopsError(
        'INVALID_DOCUMENT',
        'a whole number is beyond 64 bits with sign; quote it',
      )
    }
  }
  if (!FLOAT.test(digits)) return null
  const value = Number(digits)
  return Number.isFinite(value) ? scalar('float', floatText(value)) : null
}

function timeScalar(source: string): Scalar | null {
  const match = TIME.exec(source)
  if (match === null) return null
  const [, year = '', month = '', day = '', separator, ...rest] = match
  const [hour = '0', minute = '0', second = '0', fraction = '', zone = 'Z'] =
    separator === undefined ? [...rest.slice(5), 'Z'] : rest.slice(0, 5)
  const pad = (part: string): string => part.padStart(2, '0')
  const date = `${year}-${pad(month)}-${pad(day)}`
  const time = `${pad(hour)}:${pad(minute)}:${pad(second)}`
  const parsed = new Date(`${date}T${time}Z`)
  const isReal =
    !Number.isNaN(parsed.getTime()) && parsed.toISOString().startsWith(`${date}T${time}`)
  if (!isReal) return null
  const part = fraction.slice(0, 9).replace(/0+$/, '')
  const offset = /^[+-]00:00$/.test(zone) ? 'Z' : zone
  return scalar('time', `${date}T${time}${part === '' ? '' : `.${part}`}${offset}`)
}
