/**
 * Orders two Debian versions as dpkg does (deb-version(7)): epoch, then upstream version, then revision.
 * @returns negative, 0 or positive
 */
export function compareVersions(a: string, b: string): number {
  const left = splitVersion(a)
  const right = splitVersion(b)
  return (
    compareNumbers(left.epoch, right.epoch) ||
    compareParts(left.upstream, right.upstream) ||
    compareParts(left.revision, right.revision)
  )
}

export type VersionRelation = '<<' | '<=' | '=' | '>=' | '>>'

/** Whether `version relation wanted` holds. */
export function versionSatisfies(
  version: string,
  relation: VersionRelation,
  wanted: string,
): boolean {
  const order = compareVersions(version, wanted)
  switch (relation) {
    case '<<':
      return order < 0
    case '<=':
      return order <= 0
    case '=':
      return order === 0
    case '>=':
      return order >= 0
    case '>>':
      return order > 0
  }
}

interface VersionParts {
  readonly epoch: string
  readonly upstream: string
  readonly revision: string
}

function splitVersion(version: string): VersionParts {
  const colon = version.indexOf(':')
  const rest = version.slice(colon + 1)
  const dash = rest.lastIndexOf('-')
  return {
    epoch: colon === -1 ? '0' : version.slice(0, colon),
    upstream: dash === -1 ? rest : rest.slice(0, dash),
    revision: dash === -1 ? '0' : rest.slice(dash + 1),
  }
}

/** Alternates runs of non-digits (compared by `weight`) and runs of digits (compared as numbers of any length). */
function compareParts(a: string, b: string): number {
  let i = 0
  let j = 0
  while (i < a.length || j < b.length) {
    while ((i < a.length && !isDigit(a, i)) || (j < b.length && !isDigit(b, j))) {
      const order = weight(a, i) - weight(b, j)
      if (order !== 0) return order
      i += 1
      j += 1
    }
    const endA = digitsEnd(a, i)
    const endB = digitsEnd(b, j)
    const order = compareNumbers(a.slice(i, endA), b.slice(j, endB))
    if (order !== 0) return order
    i = endA
    j = endB
  }
  return 0
}

/** `~` before the end of the part (where a digit also counts as the end), then letters, then everything else. */
function weight(text: string, index: number): number {
  const code = text.charCodeAt(index)
  if (Number.isNaN(code) || isDigit(text, index)) return 0
  if (code === 0x7e) return -1
  const isLetter = (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a)
  return isLetter ? code : code + 256
}

function compareNumbers(a: string, b: string): number {
  const left = a.replace(/^0+/, '')
  const right = b.replace(/^0+/, '')
  if (left.length !== right.length) return left.length - right.length
  return left < right ? -1 : left > right ? 1 : 0
}

function isDigit(text: string, index: number): boolean {
  const code = text.charCodeAt(index)
  return code >= 0x30 && code <= 0x39
}

function digitsEnd(text: string, start: number): number {
  let end = start
  while (end < text.length && isDigit(text, end)) end += 1
  return end
}
