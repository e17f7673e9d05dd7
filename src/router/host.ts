/**
 * The host of a Host field or authority as routes know it: lower case, without port and trailing dot; IPv6 literals keep their brackets.
 * Null where it is not a valid host with an optional port (RFC 9110 7.2; user information and percent-encoding are refused).
 */
export function parseHost(authority: string): string | null {
  if (authority.startsWith('[')) return parseLiteral(authority)
  let end = authority.length
  const colon = authority.indexOf(':')
  if (colon >= 0) {
    if (!isPort(authority, colon + 1)) return null
    end = colon
  }
  let upper = false
  for (let at = 0; at < end; at++) {
    const code = authority.charCodeAt(at)
    if (code >= 65 && code <= 90) upper = true
    else if (!isHostLetter(code)) return null
  }
  if (end > 0 && authority.charCodeAt(end - 1) === 46) end--
  if (end === 0 || end > 253) return null
  const host = end === authority.length ? authority : authority.slice(0, end)
  return upper ? host.toLowerCase() : host
}

function isHostLetter(code: number): boolean {
  return (
    (code >= 97 && code <= 122) ||
    (code >= 48 && code <= 57) ||
    code === 45 ||
    code === 46 ||
    code === 95
  )
}

function isPort(text: string, from: number): boolean {
  if (text.length - from > 5) return false
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code < 48 || code > 57) return false
  }
  return true
}

function parseLiteral(authority: string): string | null {
  const match = /^(\[[0-9a-fA-F:.]{2,45}\])(?::[0-9]{0,5})?$/.exec(authority)
  return match?.[1]?.toLowerCase() ?? null
}
