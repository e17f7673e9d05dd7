/** Dependency closure over several indexes: pure but for the lookups it is given. */
import { compareVersions, versionSatisfies } from './debian-version.ts'
import type { DebianArchitecture, DebianPackage } from './debian-package.ts'
import { DebianError } from './debian-error.ts'
import {
  formatDependency,
  parseDependencies,
  type Dependency,
  type DependencyGroup,
} from './dependency.ts'

/** A package with the rank of its suite (`ReleaseFile.priority`) and the position of its source among the sources. */
export interface Candidate {
  readonly pkg: DebianPackage
  readonly priority: number
  readonly order: number
}

export interface PackageLookup {
  named(name: string): readonly Candidate[]
  providing(name: string): readonly Candidate[]
}

export interface ResolveRequest {
  readonly names: readonly string[]
  /** Packages that count as present and are left out, with what only they need. */
  readonly exclude: readonly string[]
  readonly architecture: DebianArchitecture
}

/**
 * All packages that the named ones need through Pre-Depends and Depends, themselves included, sorted by name in byte order. Of one package the newest version of the
 * best-ranked suite is taken; of alternatives one that is selected already, else the first that exists, as apt does.
 * @throws DebianError PACKAGE_UNAVAILABLE naming who needs what, PACKAGE_CONFLICT
 */
export function resolveClosure(lookup: PackageLookup, request: ResolveRequest): DebianPackage[] {
  return new Resolution(lookup, request).run()
}

class Resolution {
  readonly #lookup: PackageLookup
  readonly #request: ResolveRequest
  readonly #excluded: ReadonlySet<string>
  readonly #selected = new Map<string, DebianPackage>()
  /** Package -> who made it part of the closure. */
  readonly #because = new Map<string, string>()

  constructor(lookup: PackageLookup, request: ResolveRequest) {
    this.#lookup = lookup
    this.#request = request
    this.#excluded = new Set(request.exclude)
  }

  run(): DebianPackage[] {
    const queue = this.#request.names.map((name) => this.#requested(name))
    for (const pkg of queue) this.#select(pkg, 'the request')
    const seen = new Set<string>()
    for (let pkg = queue.shift(); pkg !== undefined; pkg = queue.shift()) {
      if (seen.has(pkg.name)) continue
      seen.add(pkg.name)
      for (const group of [...relations(pkg, 'preDepends'), ...relations(pkg, 'depends')]) {
        const added = this.#satisfy(pkg, group)
        if (added !== null) queue.push(added)
      }
    }
    const all = [...this.#selected.values()].sort((a, b) => order(a.name, b.name))
    for (const pkg of all) this.#requireNoConflict(pkg, all)
    return all
  }

  #requested(text: string): DebianPackage {
    const [dependency] = parseRequest(text)
    const found = dependency === undefined ? null : this.#choose(dependency)
    if (dependency === undefined || found === null) {
      throw new DebianError('PACKAGE_UNAVAILABLE', `no package "${text}" in the configured sources`)
    }
    if (found.name !== dependency.name) this.#requireOneProvider(dependency)
    return found
  }

  /** What is asked for by name should not depend on an order that nobody chose; apt refuses it likewise. */
  #requireOneProvider({ name }: Dependency): void {
    const names = [...new Set(this.#lookup.providing(name).map(({ pkg }) => pkg.name))].sort()
    if (names.length === 1) return
    throw new DebianError(
      'PACKAGE_UNAVAILABLE',
      `${name} is a virtual package; name one that provides it: ${names.join(', ')}`,
    )
  }

  /** Null where the group holds already, else the package that was selected for it. */
  #satisfy(pkg: DebianPackage, group: DependencyGroup): DebianPackage | null {
    if (group.some((one) => this.#excluded.has(one.name) || this.#holds(one))) return null
    for (const alternative of group) {
      const found = this.#choose(alternative)
      if (found === null) continue
      if (this.#excluded.has(found.name)) return null
      if (this.#selected.has(found.name)) continue
      this.#select(found, pkg.name)
      return found
    }
    throw this.#unavailable(pkg, group)
  }

  #holds(dependency: Dependency): boolean {
    const named = this.#selected.get(dependency.name)
    if (named !== undefined && this.#matches(named, dependency)) return true
    return [...this.#selected.values()].some((pkg) => provides(pkg, dependency))
  }

  #choose(dependency: Dependency): DebianPackage | null {
    const named = this.#lookup
      .named(dependency.name)
      .filter(({ pkg }) => this.#matches(pkg, dependency))
      .sort(byRank)
    const [best] = named
    if (best !== undefined) return best.pkg
    const providing = this.#lookup
      .providing(dependency.name)
      .filter(({ pkg }) => provides(pkg, dependency) && this.#isCandidate(pkg))
      .sort(
        (a, b) =>
          necessity(a.pkg) - necessity(b.pkg) || order(a.pkg.name, b.pkg.name) || byRank(a, b),
      )
    return providing[0]?.pkg ?? null
  }

  /** Whether it is the version of its name that would be taken: an old version's Provides says nothing about the new one. */
  #isCandidate(pkg: DebianPackage): boolean {
    const [best] = [...this.#lookup.named(pkg.name)].sort(byRank)
    return best?.pkg.version === pkg.version
  }

  #matches(pkg: DebianPackage, { qualifier, version }: Dependency): boolean {
    const isOurs =
      qualifier === undefined || qualifier === 'any' || qualifier === this.#request.architecture
    return isOurs && (version === undefined || satisfies(pkg.version, version))
  }

  #select(pkg: DebianPackage, because: string): void {
    if (this.#selected.has(pkg.name)) return
    this.#selected.set(pkg.name, pkg)
    this.#because.set(pkg.name, because)
  }

  #unavailable(pkg: DebianPackage, group: DependencyGroup): DebianError {
    const wanted = group.map(formatDependency).join(' | ')
    const there = group.flatMap(({ name }) => {
      const chosen = this.#selected.get(name)
      const versions = this.#lookup.named(name).map((candidate) => candidate.pkg.version)
      if (chosen !== undefined) return [`${name} ${chosen.version} is selected`]
      return versions.length === 0 ? [] : [`${name} exists as ${versions.join(', ')}`]
    })
    const found = there.length === 0 ? 'no source has it' : there.join('; ')
    return new DebianError(
      'PACKAGE_UNAVAILABLE',
      `${pkg.name} ${pkg.version} (needed by ${this.#chain(pkg.name)}) needs ${wanted}, but ${found}`,
    )
  }

  #chain(name: string): string {
    const parents: string[] = []
    for (
      let next = this.#because.get(name);
      next !== undefined && parents.length < 10;
      next = this.#because.get(next)
    ) {
      parents.push(next)
    }
    return parents.join(', by ')
  }

  #requireNoConflict(pkg: DebianPackage, all: readonly DebianPackage[]): void {
    for (const rule of [...relations(pkg, 'conflicts'), ...relations(pkg, 'breaks')].flat()) {
      const other = all.find(
        (one) =>
          one.name !== pkg.name &&
          ((one.name === rule.name && this.#matches(one, rule)) || provides(one, rule)),
      )
      if (other === undefined) continue
      throw new DebianError(
        'PACKAGE_CONFLICT',
        `${pkg.name} ${pkg.version} (needed by ${this.#chain(pkg.name)}) excludes ${formatDependency(rule)}, ` +
          `which is ${other.name} ${other.version} (needed by ${this.#chain(other.name)})`,
      )
    }
  }
}

function relations(
  pkg: DebianPackage,
  field: 'preDepends' | 'depends' | 'conflicts' | 'breaks' | 'provides',
): readonly DependencyGroup[] {
  try {
    return parseDependencies(pkg[field])
  } catch (cause) {
    throw new DebianError('INDEX_INVALID', `${pkg.name} ${pkg.version}: ${String(cause)}`, cause)
  }
}

function parseRequest(text: string): readonly Dependency[] {
  try {
    return parseDependencies(text).flat()
  } catch (cause) {
    throw new DebianError('PACKAGE_UNAVAILABLE', `"${text}" is no package name`, cause)
  }
}

/** A versioned dependency is met by a versioned Provides only (Policy 7.5). */
function provides(pkg: DebianPackage, wanted: Dependency): boolean {
  if (!pkg.provides.includes(wanted.name)) return false
  return relations(pkg, 'provides')
    .flat()
    .some(
      ({ name, version }) =>
        name === wanted.name &&
        (wanted.version === undefined ||
          (version !== undefined && satisfies(version.version, wanted.version))),
    )
}

function satisfies(version: string, wanted: NonNullable<Dependency['version']>): boolean {
  return versionSatisfies(version, wanted.relation, wanted.version)
}

function byRank(a: Candidate, b: Candidate): number {
  return (
    b.priority - a.priority ||
    compareVersions(b.pkg.version, a.pkg.version) ||
    a.order - b.order ||
    order(a.pkg.sha256, b.pkg.sha256)
  )
}

function necessity(pkg: DebianPackage): number {
  const place = ['required', 'important', 'standard', 'optional'].indexOf(pkg.priority)
  return place === -1 ? 4 : place
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
