/** What a field means to a proxy; everything else is passed on untouched. */
export type FieldRule =
  | 'drop'
  | 'host'
  | 'length'
  | 'coding'
  | 'connection'
  | 'upgrade'
  | 'expect'
  | 'request-id'
  | 'keep-alive'
  | 'accept'

export interface KnownField {
  readonly name: string
  readonly rule: FieldRule
}

/** Known names by a hash of their lower-case letters, so that the usual field costs one integer lookup and no string. */
export type FieldRules = ReadonlyMap<number, KnownField>

/** Lower case of token characters (RFC 9110 5.6.2), 0 for all other bytes. `_` counts as `-`: gateways such as WSGI cannot tell them apart. */
export const TOKEN = tokenTable()

export const HASH_SEED = 5381

export const REQUEST_FIELDS = fieldRules({
  host: 'host',
  'content-length': 'length',
  'transfer-encoding': 'coding',
  connection: 'connection',
  upgrade: 'upgrade',
  expect: 'expect',
  'x-request-id': 'request-id',
  accept: 'accept',
  'keep-alive': 'drop',
  'proxy-connection': 'drop',
  'proxy-authorization': 'drop',
  te: 'drop',
  'http2-settings': 'drop',
  forwarded: 'drop',
  'x-real-ip': 'drop',
})

export const RESPONSE_FIELDS = fieldRules({
  'content-length': 'length',
  'transfer-encoding': 'coding',
  connection: 'connection',
  upgrade: 'upgrade',
  'keep-alive': 'keep-alive',
  'proxy-connection': 'drop',
  'proxy-authenticate': 'drop',
  te: 'drop',
  'http2-settings': 'drop',
  'x-fairway-error': 'drop',
})

/** Fields that a trailer section must not set (RFC 9110 6.5.1): framing, routing, identity, authorization. */
export const TRAILER_FIELDS = fieldRules({
  host: 'drop',
  'content-length': 'drop',
  'transfer-encoding': 'drop',
  connection: 'drop',
  upgrade: 'drop',
  expect: 'drop',
  'keep-alive': 'drop',
  'proxy-connection': 'drop',
  'http2-settings': 'drop',
  te: 'drop',
  trailer: 'drop',
  forwarded: 'drop',
  'x-real-ip': 'drop',
  'x-request-id': 'drop',
  authorization: 'drop',
  cookie: 'drop',
  'set-cookie': 'drop',
  'content-encoding': 'drop',
  'content-type': 'drop',
  'content-range': 'drop',
  'cache-control': 'drop',
  location: 'drop',
})

/** `hash` extended by one lower-case letter. */
export function extendHash(hash: number, letter: number): number {
  return (Math.imul(hash, 33) ^ letter) | 0
}

/** True where the text is one token. */
export function isToken(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code > 255 || TOKEN[code] === 0) return false
  }
  return text.length > 0
}

function fieldRules(names: Readonly<Record<string, FieldRule>>): FieldRules {
  const rules = new Map<number, KnownField>()
  for (const [name, rule] of Object.entries(names)) {
    let hash = HASH_SEED
    for (let at = 0; at < name.length; at++) hash = extendHash(hash, name.charCodeAt(at))
    if (rules.has(hash)) throw new Error(`hash collision at ${name}`)
    rules.set(hash, { name, rule })
  }
  return rules
}

function tokenTable(): Uint8Array {
  const table = new Uint8Array(256)
  const allowed = "!#$%&'*+-.^`|~0123456789abcdefghijklmnopqrstuvwxyz"
  for (const letter of allowed) {
    table[letter.charCodeAt(0)] = letter.charCodeAt(0)
    table[letter.toUpperCase().charCodeAt(0)] = letter.charCodeAt(0)
  }
  table['_'.charCodeAt(0)] = '-'.charCodeAt(0)
  return table
}
