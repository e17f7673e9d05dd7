import type { TargetName } from '../model/names.ts'
import type { Config } from './config.ts'

/** Full URL of a route as a person opens it: TLS where certificates were given, else plain HTTP on the router's port. */
export function routeUrl(
  config: Config,
): (host: string, path: string, target: TargetName | null) => string {
  const tls = config.certificates === null ? null : config.https
  const [scheme, port, usual] =
    tls === null ? ['http', config.http.port, 80] : ['https', tls.port, 443]
  const shown = port === usual ? '' : `:${String(port)}`
  return (host, path, target) =>
    target === null ? `${scheme}://${host}${shown}${path}` : `http://${host}${path}`
}
