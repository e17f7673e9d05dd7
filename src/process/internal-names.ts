import { join } from 'node:path'

/** Makes Node programs find `*.internal` by themselves, whatever client they use; JavaScript that any Node can load. */
const PRELOAD = join(import.meta.dirname, 'internal-names.cjs')
const NOT_PROXIED = 'localhost,.localhost,127.0.0.1,::1'
const PROXY = /^http_proxy$/i
const NO_PROXY = /^no_proxy$/i

/**
 * What an instance gets in its environment so that `http://<process>.<app>.internal` leads to its door, a port of loopback where the router knows it:
 * for Node a module that comes first, for Java its system properties, for all else the customary proxy variables. What the app set itself wins; lists
 * are joined.
 */
export function internalNamesEnv(
  door: number,
  env: Readonly<Record<string, string>>,
): Record<string, string> {
  const url = `http://127.0.0.1:${String(door)}`
  const java = `-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=${String(door)} -Dhttp.nonProxyHosts=localhost|*.localhost|127.*|[::1]`
  return {
    FAIRWAY_INTERNAL: url,
    NODE_OPTIONS: joined(`--require ${JSON.stringify(PRELOAD)}`, env['NODE_OPTIONS']),
    JAVA_TOOL_OPTIONS: joined(java, env['JAVA_TOOL_OPTIONS']),
    ...(names(env, PROXY).length > 0
      ? {}
      : { http_proxy: url, HTTP_PROXY: url, ...notProxied(env) }),
  }
}

/** The platform's words first: of two values the later one counts, and that is the app's. */
function joined(ours: string, own: string | undefined): string {
  return own === undefined || own.trim() === '' ? ours : `${ours} ${own}`
}

function notProxied(env: Readonly<Record<string, string>>): Record<string, string> {
  const [own] = names(env, NO_PROXY).map((name) => env[name] ?? '')
  const list = own === undefined || own.trim() === '' ? NOT_PROXIED : `${own},${NOT_PROXIED}`
  return { no_proxy: list, NO_PROXY: list }
}

function names(env: Readonly<Record<string, string>>, pattern: RegExp): readonly string[] {
  return Object.keys(env).filter((name) => pattern.test(name))
}
