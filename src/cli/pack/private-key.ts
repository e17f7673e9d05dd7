/**
 * Whether bytes hold a private key, whatever their file is called: PEM (RFC 7468 and OpenSSH's own), PGP, also as one string of JSON, and age
 * identities. The words alone, as programs that read keys contain them, are none: the key itself must follow.
 */
export function holdsPrivateKey(bytes: Buffer): boolean {
  return holdsPem(bytes) || holdsAge(bytes)
}

// Private

const PEM_MARK = Buffer.from('PRIVATE KEY')
/** A header, perhaps RFC 1421 fields such as `DEK-Info: …`, and at least 40 characters of base64; line ends may be written as `\\n`. */
const PEM =
  /-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr]|"|'|\+|[A-Za-z-]{1,30}: [^\n\\]{1,100}(?=[\n\\])){1,40}[A-Za-z0-9+/=]{40}/
const AGE_MARK = Buffer.from('AGE-SECRET-KEY-1')
const AGE = /AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}(?![A-Z0-9])/
/** From before the mark to behind the first line of the key. */
const BEFORE = 80
const BEHIND = 1024
const MOST_MARKS = 100

function holdsPem(bytes: Buffer): boolean {
  return someMark(bytes, PEM_MARK, (text) => PEM.test(text))
}

function holdsAge(bytes: Buffer): boolean {
  return someMark(bytes, AGE_MARK, (text) => AGE.test(text))
}

/** Searching bytes for the words costs next to nothing; only what is around them is looked at closely. */
function someMark(bytes: Buffer, mark: Buffer, matches: (text: string) => boolean): boolean {
  let at = bytes.indexOf(mark)
  for (let seen = 0; at >= 0 && seen < MOST_MARKS; seen += 1) {
    if (matches(bytes.toString('latin1', Math.max(0, at - BEFORE), at + BEHIND))) return true
    at = bytes.indexOf(mark, at + mark.length)
  }
  return false
}
