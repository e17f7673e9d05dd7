/**
 * DNS rebinding: a web page may point its own name at 127.0.0.1 and have the browser send requests here. They carry that name in Host,
 * so only names that are ours are answered.
 */
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/** @param host value of the Host header, with or without a port */
export function isOwnHost(host: string | undefined, configured: ReadonlySet<string>): boolean {
  if (host === undefined) return false
  const match = /^(\[[0-9a-f:.]+\]|[^:[\]/@\s]+)(?::\d{1,5})?$/.exec(host.toLowerCase())
  const name = match?.[1]
  return name !== undefined && (LOOPBACK.has(name) || configured.has(name))
}
