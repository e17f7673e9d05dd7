import type { MetadataObject, MetadataValue } from './document.ts'
import { SopsError } from './sops-error.ts'

/** A `sops` block as flat names for dotenv and INI: `age__list_0__map_recipient` (stores/flatten.go). */
export function flatten(metadata: MetadataObject): readonly (readonly [string, string])[] {
  return Object.entries(metadata).flatMap(([name, value]) => flat(name, value))
}

/** Back again. @throws SopsError INVALID_METADATA for lists with holes, or a name that is both a value and a list */
export function unflatten(entries: readonly (readonly [string, string])[]): unknown {
  const root = new Node()
  for (const [name, value] of entries) {
    let node = root
    for (const [part, kind] of parts(name)) node = node.child(part, kind)
    node.set(value, name)
  }
  return root.plain()
}

function flat(name: string, value: MetadataValue): (readonly [string, string])[] {
  if (typeof value !== 'object') return [[name, String(value)]]
  const entries = Object.entries(value)
  const kind = isList(value) ? 'list' : 'map'
  return entries.flatMap(([key, each]) => flat(`${name}__${kind}_${key}`, each))
}

function isList(value: MetadataValue): value is readonly MetadataValue[] {
  return Array.isArray(value)
}

function parts(name: string): (readonly [string, 'map' | 'list'])[] {
  const [first = '', ...rest] = name.split(/(__map_|__list_)/)
  const found: (readonly [string, 'map' | 'list'])[] = [[first, 'map']]
  for (let index = 0; index < rest.length; index += 2) {
    found.push([rest[index + 1] ?? '', rest[index] === '__map_' ? 'map' : 'list'])
  }
  return found
}

class Node {
  #kind: 'none' | 'text' | 'map' | 'list' = 'none'
  #text = ''
  readonly #children = new Map<string, Node>()

  child(part: string, kind: 'map' | 'list'): Node {
    if (this.#kind !== 'none' && this.#kind !== kind) throw mixed(part)
    this.#kind = kind
    const found = this.#children.get(part) ?? new Node()
    this.#children.set(part, found)
    return found
  }

  set(text: string, name: string): void {
    if (this.#kind !== 'none') throw mixed(name)
    this.#kind = 'text'
    this.#text = text
  }

  plain(): unknown {
    if (this.#kind === 'text') return this.#text
    const children = [...this.#children].map(([part, node]) => [part, node.plain()] as const)
    if (this.#kind !== 'list') return Object.fromEntries(children)
    const byIndex = new Map(children)
    return children.map((_, index) => {
      if (byIndex.has(String(index))) return byIndex.get(String(index))
      throw new SopsError('INVALID_METADATA', 'a list of the sops block has holes')
    })
  }
}

function mixed(name: string): SopsError {
  return new SopsError('INVALID_METADATA', `the sops block has ${JSON.stringify(name)} twice`)
}
