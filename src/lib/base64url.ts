/** The bytes of a base64url text (RFC 4648, section 5), or null where it is not what those bytes are written as: Node also reads junk, padding and last letters whose spare bits are set. */
export function strictBase64url(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : null
}
