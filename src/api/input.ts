/** Parser of what came from outside: the only file here that turns unknown values into types. */
import type { z } from 'zod'
import { FairwayError } from '../model/errors.ts'

type Issue = z.core.$ZodIssue

const MOST_PROBLEMS = 5

/**
 * The value in its parsed form. Messages name the place and what was expected, never the value, which may be a secret.
 * @throws FairwayError INVALID_REQUEST; INVALID_NAME where only names in the path are wrong
 */
export function parseInput<S extends z.ZodType>(
  schema: S,
  value: unknown,
  where: 'path' | 'query' | 'body',
): z.output<S> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues.flatMap(innermost)
  const problems = issues.map((issue) => describe(issue, where))
  const shown = problems.slice(0, MOST_PROBLEMS)
  const more = problems.length - shown.length
  throw new FairwayError(
    where === 'path' && issues.every(isName) ? 'INVALID_NAME' : 'INVALID_REQUEST',
    shown.map(({ at, message }) => `${at}: ${message}`).join('; ') +
      (more > 0 ? `; and ${more} more` : ''),
    { details: { problems: shown } },
  )
}

/** Of a union, what is wrong with the one alternative that was meant; the union's own message where that is not clear. */
function innermost(issue: Issue): readonly Issue[] {
  if (issue.code !== 'invalid_union') return [issue]
  const meant = issue.errors.filter((alternative) =>
    alternative.every(({ code, path }) => code !== 'unrecognized_keys' || path.length > 0),
  )
  const [only] = meant
  if (only === undefined || meant.length > 1) return [issue]
  return only.flatMap((inner) => innermost({ ...inner, path: [...issue.path, ...inner.path] }))
}

function describe(issue: Issue, where: string): { at: string; message: string } {
  const path = issue.path.map(String)
  const at = path.length === 0 ? where : shorten(path.join('.'))
  return { at, message: message(issue) }
}

function message(issue: Issue): string {
  if (issue.code === 'invalid_key') return issue.issues[0]?.message ?? 'bad name'
  if (issue.code === 'unrecognized_keys') {
    return `unknown key ${issue.keys.map((key) => JSON.stringify(shorten(key))).join(', ')}`
  }
  return issue.message.replace(/^Invalid input(?:: )?/, '') || 'not understood'
}

function isName(issue: Issue): boolean {
  return issue.path[0] === 'app' || issue.path[0] === 'environment'
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
