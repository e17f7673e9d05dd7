import { goRegex } from './go-regex.ts'
import type { Leaf } from './document.ts'
import { SopsError } from './sops-error.ts'

export const SELECTORS = [
  'unencrypted_suffix',
  'encrypted_suffix',
  'unencrypted_regex',
  'encrypted_regex',
  'unencrypted_comment_regex',
  'encrypted_comment_regex',
] as const
export type SelectorName = (typeof SELECTORS)[number]

/** Which leaves of a document are encrypted. */
export interface Selector {
  readonly name: SelectorName
  readonly value: string
}

export const DEFAULT_SELECTOR: Selector = { name: 'unencrypted_suffix', value: '_unencrypted' }

/** The one selector of metadata or a creation rule; null where none is set. @throws SopsError INVALID_METADATA where several are set */
export function selectorOf(fields: Readonly<Record<string, unknown>>): Selector | null {
  const set = SELECTORS.flatMap((name) => {
    const value = fields[name]
    if (value === undefined || value === '') return []
    if (typeof value !== 'string') throw new SopsError('INVALID_METADATA', `${name} must be text`)
    return [{ name, value }]
  })
  if (set.length > 1) {
    const names = set.map(({ name }) => name).join(' and ')
    throw new SopsError('INVALID_METADATA', `only one of ${names} may be set`)
  }
  return set[0] ?? null
}

export type Chooses = (leaf: Pick<Leaf, 'path' | 'comments' | 'scalar'>) => boolean

/** sops.go shouldBeEncrypted. @throws SopsError INVALID_METADATA for a malformed regular expression */
export function chooser({ name, value }: Selector): Chooses {
  const pattern = name.endsWith('_regex') ? goRegex(value) : null
  const matches = (text: string): boolean => pattern?.test(text) ?? text.endsWith(value)
  switch (name) {
    case 'unencrypted_suffix':
    case 'unencrypted_regex':
      return ({ path }) => !path.some(matches)
    case 'encrypted_suffix':
    case 'encrypted_regex':
      return ({ path }) => path.some(matches)
    case 'unencrypted_comment_regex':
      return ({ comments }) => !comments.some((level) => level.some(matches))
    case 'encrypted_comment_regex':
      // The comment that matches is itself left in clear.
      return ({ comments, scalar }) =>
        comments.some((level, depth) =>
          level.some(
            (text, index) =>
              !(
                scalar.type === 'comment' &&
                depth === comments.length - 1 &&
                index === level.length - 1
              ) && matches(text),
          ),
        )
  }
}
