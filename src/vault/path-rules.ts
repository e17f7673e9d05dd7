import type { AppRef } from '../model/names.ts'

/** Which paths one or more environments may take values from. */
export interface PathRule {
  /** Name of an app, or `*`. */
  readonly app: string
  /** Name of an environment, or `*`. */
  readonly environment: string
  /** Paths; one that ends in `/` stands for everything below it. `{app}` and `{environment}` are the asker's. */
  readonly paths: readonly string[]
}

const NAME = /^(?:\*|[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?)$/
/** At least a mount and a name in it, or a mount with `/` behind it. */
const PATH = /^[A-Za-z0-9_.@+=:{}-]+(?:\/[A-Za-z0-9_.@+=:{}-]+)*\/?$/

/**
 * `shop/production=secret/shop/production/ database/creds/shop; *\/preview=secret/{app}/preview/`: rules between `;` or line ends, paths between spaces.
 * @returns the rules, or in words what is wrong with the first one that is
 */
export function parsePathRules(text: string): readonly PathRule[] | string {
  const rules: PathRule[] = []
  for (const line of text.split(/[;\n]/)) {
    const rule = line.trim()
    if (rule === '') continue
    const at = rule.indexOf('=')
    const [app = '', environment = '', ...more] = rule.slice(0, Math.max(0, at)).trim().split('/')
    const paths = rule
      .slice(at + 1)
      .trim()
      .split(/\s+/)
    const wrong = paths.find((path) => !isPath(path))
    if (at < 0 || more.length > 0 || !NAME.test(app) || !NAME.test(environment))
      return `expected APP/ENVIRONMENT=PATH, each of the names may be *, found ${quoted(rule)}`
    if (wrong !== undefined)
      return `expected a path such as secret/shop/ (with / at its end: all below it), found ${quoted(wrong)}`
    rules.push({ app, environment, paths })
  }
  return rules
}

/** Whether any rule lets this environment read this path. Nothing is allowed that no rule names. */
export function allowsPath(rules: readonly PathRule[], ref: AppRef, path: string): boolean {
  return rules.some(
    ({ app, environment, paths }) =>
      (app === '*' || app === ref.app) &&
      (environment === '*' || environment === ref.environment) &&
      paths.some((allowed) => covers(filledIn(allowed, ref), path)),
  )
}

/** Names have no `/`, so what is filled in is one name of the path. */
function filledIn(path: string, { app, environment }: AppRef): string {
  return path.replaceAll('{app}', app).replaceAll('{environment}', environment)
}

function covers(allowed: string, path: string): boolean {
  return allowed.endsWith('/') ? path.startsWith(allowed) : path === allowed
}

function isPath(path: string): boolean {
  const names = path.replaceAll(/\{(?:app|environment)\}/g, 'x').split('/')
  return (
    PATH.test(path) && path.includes('/') && names.every((name) => !/^\.{1,2}$|[{}]/.test(name))
  )
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 120))
}
