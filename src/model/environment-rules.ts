import type { AppRef } from './names.ts'

/** A line of a table of the operator's that gives environments something: `shop/production=WORD WORD`. */
export interface EnvironmentRule {
  /** Name of an app, or `*`. */
  readonly app: string
  /** Name of an environment, or `*`. */
  readonly environment: string
  /** What is given; `{app}` and `{environment}` in it are the asker's. */
  readonly words: readonly string[]
}

const NAME = /^(?:\*|[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?)$/

/**
 * Rules between `;` or line ends, words between spaces.
 * @param form what a word is, for people: `PATH`
 * @param refusal what is wrong with a word, in words; null = nothing
 * @returns the rules, or in words what is wrong with the first one that is
 */
export function parseEnvironmentRules(
  text: string,
  form: string,
  refusal: (word: string) => string | null,
): readonly EnvironmentRule[] | string {
  const rules: EnvironmentRule[] = []
  for (const line of text.split(/[;\n]/)) {
    const rule = line.trim()
    if (rule === '') continue
    const at = rule.indexOf('=')
    const [app = '', environment = '', ...more] = rule.slice(0, Math.max(0, at)).trim().split('/')
    const given = rule.slice(at + 1).trim()
    if (at < 0 || more.length > 0 || !NAME.test(app) || !NAME.test(environment))
      return `expected APP/ENVIRONMENT=${form}, each of the names may be *, found ${quoted(rule)}`
    const words = given.split(/\s+/)
    for (const word of words) {
      const wrong = refusal(word)
      if (wrong !== null) return `${wrong}, found ${quoted(word)}`
    }
    rules.push({ app, environment, words })
  }
  return rules
}

/** The same as one text again. */
export function environmentRulesText(rules: readonly EnvironmentRule[]): string {
  return rules
    .map(({ app, environment, words }) => `${app}/${environment}=${words.join(' ')}`)
    .join('; ')
}

export function isRuleFor(
  { app, environment }: Pick<EnvironmentRule, 'app' | 'environment'>,
  ref: AppRef,
): boolean {
  return (
    (app === '*' || app === ref.app) && (environment === '*' || environment === ref.environment)
  )
}

/** Names have no `/`, so what is filled in is one name of a path. */
export function filledIn(word: string, { app, environment }: AppRef): string {
  return word.replaceAll('{app}', app).replaceAll('{environment}', environment)
}

/** The same with a name that stands for any. */
export function withAnyNames(word: string): string {
  return word.replaceAll(/\{(?:app|environment)\}/g, 'x')
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 120))
}
