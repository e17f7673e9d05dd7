import { didYouMean } from './did-you-mean.ts'
import type { Path } from './document.ts'
import { isJsonObject, type Json } from './merge-patch.ts'
import type { Problem } from './problem.ts'
import { problemOf, type Locator } from './validate.ts'

const ADDON_OUTPUTS = ['url', 'host', 'port', 'user', 'password', 'name']
const PROCESS_OUTPUTS = ['url', 'host']
const APP_OUTPUTS = ['name', 'environment']

export interface ReferenceScope {
  readonly app: string
  readonly environment: string
}

/**
 * Replaces `${app.name}`, `${app.environment}` and `${processes.<name>.url|host}` in the values that may hold references: variables,
 * paths in Vault, hosts of routes, `build.image` and `build.args`. `$$` is a plain `$`. `${addons.…}` is checked and stays for the engine that binds add-ons.
 */
export function resolveReferences(
  data: Json,
  scope: ReferenceScope,
  locate: Locator,
): { readonly data: Json; readonly problems: readonly Problem[] } {
  const problems: Problem[] = []
  const visit = (value: Json, path: Path): Json => {
    if (typeof value === 'string') {
      if (!mayRefer(path)) return value
      const { text, wrong } = expand(value, data, scope)
      for (const { message, suggestion } of wrong)
        problems.push(problemOf(locate, path, message, { suggestion }))
      return text
    }
    if (Array.isArray(value))
      return (value as readonly Json[]).map((item, i) => visit(item, [...path, i]))
    if (!isJsonObject(value)) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, child]) => [key, visit(child, [...path, key])]),
    )
  }
  return { data: visit(data, []), problems }
}

const PLACES = [
  /^env\.[^.]+(?:\.vault)?$/,
  /^files\.[^.]+\.vault$/,
  /^processes\.[^.]+\.env\.[^.]+(?:\.vault)?$/,
  /^processes\.[^.]+\.sidecars\.[^.]+\.env\.[^.]+$/,
  /^processes\.[^.]+\.routes\.[^.]+\.host$/,
  /^build\.image$/,
  /^build\.args\.[^.]+$/,
]

function mayRefer(path: Path): boolean {
  const dotted = path.join('.')
  return PLACES.some((place) => place.test(dotted))
}

interface Wrong {
  readonly message: string
  readonly suggestion: string
}

function expand(
  value: string,
  data: Json,
  scope: ReferenceScope,
): { text: string; wrong: Wrong[] } {
  const wrong: Wrong[] = []
  const text = value.replace(/\$\$|\$\{([^}]*)\}?/g, (match, inside: string | undefined) => {
    if (inside === undefined) return '$'
    const answer = match.endsWith('}')
      ? lookUp(inside.trim(), data, scope)
      : { message: 'the reference is not closed with }', suggestion: 'write $${ for a plain ${' }
    if ('value' in answer) return answer.value ?? match
    wrong.push(answer)
    return match
  })
  return { text, wrong }
}

/** value null = known, but only the engine can fill it in. */
type Answer = { readonly value: string | null } | Wrong

function lookUp(reference: string, data: Json, scope: ReferenceScope): Answer {
  const [root = '', ...rest] = reference.split('.')
  if (root === 'app') return lookUpApp(reference, rest, scope)
  if (root === 'processes') return lookUpProcess(reference, rest, data, scope)
  if (root === 'addons') return lookUpAddon(reference, rest, data)
  return unknown(reference, root, ['app', 'processes', 'addons'])
}

function lookUpApp(reference: string, rest: readonly string[], scope: ReferenceScope): Answer {
  const [output = ''] = rest
  if (rest.length === 1 && output === 'name') return { value: scope.app }
  if (rest.length === 1 && output === 'environment') return { value: scope.environment }
  return unknown(reference, output, APP_OUTPUTS)
}

function lookUpProcess(
  reference: string,
  rest: readonly string[],
  data: Json,
  scope: ReferenceScope,
): Answer {
  const [name = '', output = ''] = rest
  const processes = mapAt(data, 'processes')
  const process = processes[name]
  if (process === undefined && !(name === 'web' && Object.keys(processes).length === 0))
    return unknown(reference, name, Object.keys(processes))
  if (rest.length !== 2 || !PROCESS_OUTPUTS.includes(output))
    return unknown(reference, output, PROCESS_OUTPUTS)
  if (!listens(name, process))
    return {
      message: `\${${reference}} refers to a worker, which nobody can call`,
      suggestion: `give processes.${name} a port`,
    }
  const host = `${name}.${scope.app}.internal`
  return { value: output === 'url' ? `http://${host}` : host }
}

function lookUpAddon(reference: string, rest: readonly string[], data: Json): Answer {
  const [name = '', output = ''] = rest
  const addons = mapAt(data, 'addons')
  if (addons[name] === undefined) return unknown(reference, name, Object.keys(addons))
  if (rest.length !== 2 || !ADDON_OUTPUTS.includes(output))
    return unknown(reference, output, ADDON_OUTPUTS)
  return { value: null }
}

/** A process called `web`, or with a port or routes, is a web process; a scheduled one never is. */
export function listens(name: string, process: Json | undefined): boolean {
  if (!isJsonObject(process)) return name === 'web'
  if (process['schedule'] !== undefined) return false
  const { routes } = process
  const routed = isJsonObject(routes) && Object.keys(routes).length > 0
  return name === 'web' || process['port'] !== undefined || routed
}

function unknown(reference: string, word: string, known: readonly string[]): Wrong {
  const list = known.length === 0 ? 'there are none in this file' : `known: ${known.join(', ')}`
  return {
    message: `\${${reference}} refers to nothing in this file`,
    suggestion: didYouMean(word, known) || `${list}; write $\${ for a plain \${`,
  }
}

function mapAt(data: Json, key: string): Readonly<Record<string, Json>> {
  const value = isJsonObject(data) ? data[key] : undefined
  return isJsonObject(value) ? value : {}
}
