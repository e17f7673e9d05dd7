import { isName } from '../model/names.ts'
import type { AppRef } from '../model/names.ts'
import type { Caller, Route, RouteTable } from '../model/traffic.ts'

/** A routing table compiled for lookups; never changes. Values are service keys. */
export class Routes {
  readonly #exact = new Map<string, readonly Route[]>()
  /** By what follows `*`, with its dot. */
  readonly #wildcard = new Map<string, readonly Route[]>()
  readonly #callers: ReadonlyMap<string, AppRef>

  constructor(table: RouteTable, callers: readonly Caller[]) {
    for (const route of table.routes) {
      const wild = route.host.startsWith('*.')
      const map = wild ? this.#wildcard : this.#exact
      const key = wild ? route.host.slice(1) : route.host
      map.set(key, [...(map.get(key) ?? []), route])
    }
    for (const map of [this.#exact, this.#wildcard]) {
      for (const [key, routes] of map) {
        map.set(
          key,
          routes.toSorted((a, b) => b.path.length - a.path.length),
        )
      }
    }
    this.#callers = new Map(callers.map((caller) => [caller.address, caller.ref]))
  }

  /** The service of a public request; null where no route matches. */
  find(host: string, target: string): string | null {
    const routes = this.#exact.get(host)
    if (routes !== undefined) {
      const found = longest(routes, target)
      if (found !== null) return found
    }
    const dot = host.indexOf('.')
    if (dot <= 0 || this.#wildcard.size === 0) return null
    const wild = this.#wildcard.get(host.slice(dot))
    return wild === undefined ? null : longest(wild, target)
  }

  /** True where some route names the host. */
  serves(host: string): boolean {
    const dot = host.indexOf('.')
    return this.#exact.has(host) || (dot > 0 && this.#wildcard.has(host.slice(dot)))
  }

  caller(address: string): AppRef | null {
    return this.#callers.get(address) ?? null
  }
}

/** Service key that `<process>.<app>.internal` or `<app>.internal` (its web process) means in the caller's environment; null where it is no such name. */
export function internalService(host: string, caller: AppRef): string | null {
  if (!host.endsWith('.internal')) return null
  const labels = host.slice(0, -'.internal'.length).split('.')
  if (labels.length > 2) return null
  const app = labels.at(-1) ?? ''
  const process = labels.length === 1 ? 'web' : (labels[0] ?? '')
  if (!isName(process) || !isName(app)) return null
  return `${app}/${caller.environment}/${process}`
}

function longest(routes: readonly Route[], target: string): string | null {
  const first = routes[0]
  if (routes.length === 1 && first?.path === '/') return first.service
  const path = comparable(target)
  for (const route of routes) if (hasPrefix(path, route.path)) return route.service
  return null
}

function hasPrefix(path: string, prefix: string): boolean {
  if (!path.startsWith(prefix)) return false
  if (prefix.endsWith('/') || path.length === prefix.length) return true
  return path.charCodeAt(prefix.length) === 47
}

/** The path as routes are compared with it: without query, dot segments and repeated slashes, so that `/a/../b` and `//b` cannot pass for another route. */
function comparable(target: string): string {
  if (target === '*') return '/'
  const query = target.indexOf('?')
  const path = query < 0 ? target : target.slice(0, query)
  if (!/\/[./]|%2[eEfF]/.test(path)) return path
  const decoded = path.replaceAll(/%2e/gi, '.').replaceAll(/%2f/gi, '/')
  const segments: string[] = []
  for (const segment of decoded.split('/')) {
    if (segment === '' || segment === '.') continue
    if (segment === '..') segments.pop()
    else segments.push(segment)
  }
  return `/${segments.join('/')}${decoded.endsWith('/') && segments.length > 0 ? '/' : ''}`
}
