/** Relations between packages as they stand in Depends and its kin: deb-control(5), Debian Policy 7.1. */
import type { VersionRelation } from './debian-version.ts'

export interface Dependency {
  readonly name: string
  /** `any`, or an architecture: what stands after the colon of `python3:any`. */
  readonly qualifier?: string
  readonly version?: { readonly relation: VersionRelation; readonly version: string }
}

/** Alternatives, the preferred one first; one of them has to hold. */
export type DependencyGroup = readonly Dependency[]

/** @throws SyntaxError with the offending part */
export function parseDependencies(field: string): DependencyGroup[] {
  if (field.trim() === '') return []
  return field
    .split(',')
    .filter((part) => part.trim() !== '')
    .map((part) => part.split('|').map(parseDependency))
}

export function formatDependency(dependency: Dependency): string {
  const { name, qualifier, version } = dependency
  const full = qualifier === undefined ? name : `${name}:${qualifier}`
  return version === undefined ? full : `${full} (${version.relation} ${version.version})`
}

const pattern =
  /^([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9-]+))?(?:\s*\(\s*(<<|<=|=|>=|>>|<|>)\s*([0-9a-z][^\s()]*)\s*\))?$/i

function parseDependency(text: string): Dependency {
  const match = pattern.exec(text.trim())
  if (match === null) throw new SyntaxError(`"${text.trim()}" is no package relation`)
  const [, name = '', qualifier, relation, version] = match
  return {
    name,
    ...(qualifier === undefined ? {} : { qualifier }),
    ...(relation === undefined || version === undefined
      ? {}
      : { version: { relation: toRelation(relation), version } }),
  }
}

/** `<` and `>` are old spellings of `<=` and `>=` (Policy 7.1). */
function toRelation(text: string): VersionRelation {
  switch (text) {
    case '<<':
    case '=':
    case '>>':
      return text
    case '<':
    case '<=':
      return '<='
    default:
      return '>='
  }
}
