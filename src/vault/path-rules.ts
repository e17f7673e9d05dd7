import {
  filledIn,
  isRuleFor,
  parseEnvironmentRules,
  withAnyNames,
  type EnvironmentRule,
} from '../model/environment-rules.ts'
import type { AppRef } from '../model/names.ts'

/** Which paths (`words`) one or more environments may take values from; one that ends in `/` stands for everything below it. */
export type PathRule = EnvironmentRule

/** At least a mount and a name in it, or a mount with `/` behind it. */
const PATH = /^[A-Za-z0-9_.@+=:{}-]+(?:\/[A-Za-z0-9_.@+=:{}-]+)*\/?$/

/**
 * `shop/production=secret/shop/production/ database/creds/shop; *\/preview=secret/{app}/preview/`
 * @returns the rules, or in words what is wrong with the first one that is
 */
export function parsePathRules(text: string): readonly PathRule[] | string {
  return parseEnvironmentRules(text, 'PATH', (path) =>
    isPath(path) ? null : 'expected a path such as secret/shop/ (with / at its end: all below it)',
  )
}

/** Whether any rule lets this environment read this path. Nothing is allowed that no rule names. */
export function allowsPath(rules: readonly PathRule[], ref: AppRef, path: string): boolean {
  return rules.some(
    (rule) =>
      isRuleFor(rule, ref) && rule.words.some((allowed) => covers(filledIn(allowed, ref), path)),
  )
}

function covers(allowed: string, path: string): boolean {
  return allowed.endsWith('/') ? path.startsWith(allowed) : path === allowed
}

function isPath(path: string): boolean {
  const names = withAnyNames(path).split('/')
  return (
    PATH.test(path) && path.includes('/') && names.every((name) => !/^\.{1,2}$|[{}]/.test(name))
  )
}
