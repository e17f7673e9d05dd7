import type { Config } from './config.ts'

/** Full URL of a route as a person opens it: TLS where a certificate was given for it, else plain HTTP on the router's port. */
export function routeUrl(config: Config): (host: string, path: string) => string {
  const secure = config.certificates !== null && config.https !== null
  const { port } = secure && config.https !== null ? config.https : config.http
  const scheme = secure ? 'https' : 'http'
  const shown = port === (secure ? 443 : 80) ? '' : `:${String(port)}`
  return (host, path) => `${scheme}://${host}${shown}${path}`
}
