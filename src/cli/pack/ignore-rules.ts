/** Patterns of `.gitignore` (gitignore(5)) and `.dockerignore` (docs of `docker build`) as one matcher. */

export interface IgnoreRules {
  /** Whether this path (relative, '/'-separated) is left out; `folder` says what it is. Parents are the caller's business: see `prunes`. */
  ignores(path: string, folder: boolean): boolean
  /** Whether a `!` line has the last word on this path. */
  bringsBack(path: string, folder: boolean): boolean
  /** True where an ignored folder need not be entered because nothing in it can come back. */
  readonly prunes: boolean
}

interface Rule {
  readonly negated: boolean
  readonly folderOnly: boolean
  /** Matched against the last part of the path only. */
  readonly nameOnly: boolean
  readonly pattern: RegExp
}

/** gitignore(5): patterns without a slash match at any depth, the last match wins, nothing comes back below an ignored folder. */
export function gitIgnoreRules(text: string): IgnoreRules {
  const rules = lines(text).flatMap((line) => gitRule(line) ?? [])
  const last = (path: string, folder: boolean): Rule | undefined => {
    const name = path.slice(path.lastIndexOf('/') + 1)
    return rules.findLast(
      (rule) => (folder || !rule.folderOnly) && rule.pattern.test(rule.nameOnly ? name : path),
    )
  }
  return {
    prunes: true,
    ignores: (path, folder) => last(path, folder)?.negated === false,
    bringsBack: (path, folder) => last(path, folder)?.negated === true,
  }
}

/**
 * .dockerignore: patterns start at the root, a match of a folder covers what is in it, the last match wins, and `!` brings back
 * also what is below an ignored folder.
 */
export function dockerIgnoreRules(text: string): IgnoreRules {
  const rules = lines(text).flatMap((line) => dockerRule(line) ?? [])
  const last = (path: string): Rule | undefined => rules.findLast((rule) => rule.pattern.test(path))
  return {
    prunes: !rules.some((rule) => rule.negated),
    ignores: (path) => last(path)?.negated === false,
    // Docker knows no defaults, so its `!` lines say nothing about ours.
    bringsBack: () => false,
  }
}

function lines(text: string): string[] {
  return text.replace(/^\ufeff/, '').split(/\r?\n/)
}

function gitRule(line: string): Rule | null {
  let pattern = withoutTrailingSpaces(line)
  if (pattern === '' || pattern.startsWith('#')) return null
  const negated = pattern.startsWith('!')
  if (negated) pattern = pattern.slice(1)
  const folderOnly = pattern.endsWith('/')
  if (folderOnly) pattern = pattern.slice(0, -1)
  const anchored = pattern.includes('/')
  if (pattern.startsWith('/')) pattern = pattern.slice(1)
  if (pattern === '') return null
  const body = globSource(pattern)
  if (body === null) return null
  return { negated, folderOnly, nameOnly: !anchored, pattern: new RegExp(`^${body}$`, 's') }
}

function dockerRule(line: string): Rule | null {
  let pattern = line.trim()
  if (pattern === '' || pattern.startsWith('#')) return null
  const negated = pattern.startsWith('!')
  if (negated) pattern = pattern.slice(1).trim()
  // Docker cleans patterns as Go's filepath.Clean does, then removes a leading slash.
  pattern = pattern
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/')
  if (pattern === '') return null
  const body = globSource(pattern, true)
  if (body === null) return null
  return {
    negated,
    folderOnly: false,
    nameOnly: false,
    pattern: new RegExp(`^${body}(?:/.*)?$`, 's'),
  }
}

/** Spaces at the end do not count unless the last of them is escaped: git's trim_trailing_spaces. */
function withoutTrailingSpaces(line: string): string {
  let end = -1
  for (let index = 0; index < line.length; index++) {
    const character = line[index]
    if (character === ' ') {
      if (end < 0) end = index
    } else {
      if (character === '\\') index++
      end = -1
    }
  }
  return end < 0 ? line : line.slice(0, end)
}

/** Source of a regular expression for a glob (git's wildmatch with WM_PATHNAME); null where it can match nothing. */
function globSource(glob: string, docker = false): string | null {
  let source = ''
  let index = 0
  while (index < glob.length) {
    const character = glob[index] ?? ''
    if (character === '*') {
      const stars = starRun(glob, index, docker)
      source += stars.source
      index = stars.next
    } else if (character === '?') {
      source += '[^/]'
      index++
    } else if (character === '[') {
      const set = bracketSource(glob, index)
      if (set === null) return null
      source += set.source
      index = set.next
    } else if (character === '\\') {
      const escaped = glob[index + 1]
      if (escaped === undefined) return null
      source += literal(escaped)
      index += 2
    } else {
      source += literal(character)
      index++
    }
  }
  return source
}

interface Part {
  readonly source: string
  readonly next: number
}

function starRun(glob: string, start: number, docker: boolean): Part {
  let next = start
  while (glob[next] === '*') next++
  const double = next - start >= 2
  const opens = start === 0 || glob[start - 1] === '/'
  const after = glob[next]
  if (double && docker && after !== '/') return { source: '.*', next }
  if (double && opens && after === '/') return { source: '(?:.*/)?', next: next + 1 }
  // A trailing `/**` matches what is inside, not the folder itself.
  if (double && opens && after === undefined) return { source: start === 0 ? '.*' : '.+', next }
  return { source: '[^/]*', next }
}

const CLASSES: Readonly<Record<string, string>> = {
  alnum: 'A-Za-z0-9',
  alpha: 'A-Za-z',
  blank: ' \\t',
  cntrl: '\\x00-\\x1f\\x7f',
  digit: '0-9',
  graph: '\\x21-\\x7e',
  lower: 'a-z',
  print: '\\x20-\\x7e',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\s',
  upper: 'A-Z',
  xdigit: 'A-Fa-f0-9',
}

/** A set such as `[a-z]`, `[!0]`, `[[:alpha:]_]`; it never matches '/'. Null where it is not closed. */
function bracketSource(glob: string, start: number): Part | null {
  const inverted = glob[start + 1] === '!' || glob[start + 1] === '^'
  let index = start + (inverted ? 2 : 1)
  let members = ''
  // A ']' that comes first is a member.
  for (let first = true; first || glob[index] !== ']'; first = false) {
    const member = memberSource(glob, index)
    if (member === null) return null
    members += member.source
    index = member.next
  }
  const next = index + 1
  if (members === '') return { source: inverted ? '[^/]' : '(?!)', next }
  return { source: `(?!/)[${inverted ? '^' : ''}${members}]`, next }
}

/** One member of a set as JavaScript writes it: a class, a range or a character. Of a range whose end comes first, git takes the start. */
function memberSource(glob: string, index: number): Part | null {
  const named = glob[index] === '[' ? /^\[:([a-z]*):\]/.exec(glob.slice(index)) : null
  if (named !== null) {
    const known = CLASSES[named[1] ?? '']
    return known === undefined ? null : { source: known, next: index + named[0].length }
  }
  const low = characterAt(glob, index)
  if (low === null) return null
  const ranged = glob[low.next] === '-' && glob[low.next + 1] !== ']'
  const high = ranged ? characterAt(glob, low.next + 1) : null
  if (high === null) return { source: literal(low.source), next: low.next }
  const backwards = low.source > high.source
  const source = literal(low.source) + (backwards ? '' : `-${literal(high.source)}`)
  return { source, next: high.next }
}

function characterAt(glob: string, index: number): Part | null {
  const character = glob[index]
  if (character !== '\\')
    return character === undefined ? null : { source: character, next: index + 1 }
  const escaped = glob[index + 1]
  return escaped === undefined ? null : { source: escaped, next: index + 2 }
}

function literal(character: string): string {
  return /[a-z0-9 _]/i.test(character)
    ? character
    : character.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
}
