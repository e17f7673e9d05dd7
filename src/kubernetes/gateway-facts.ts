import type { GatewayFacts } from './cluster-facts.ts'
import { listAt, named, textAt, type Json } from './json-value.ts'

/**
 * The Gateway that routes attach to: one that listens for HTTP and takes routes from all namespaces. Of several the first by namespace and name that a
 * controller has accepted, else the first.
 */
export function gatewayOf(gateways: readonly Json[]): GatewayFacts | null {
  const open = gateways.filter(takesRoutes).sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
  const chosen = open.find((gateway) => troubleIn(gateway, ['Accepted']) === null) ?? open[0]
  if (chosen === undefined) return null
  return {
    namespace: textAt(chosen, 'metadata', 'namespace'),
    name: textAt(chosen, 'metadata', 'name'),
    class: textAt(chosen, 'spec', 'gatewayClassName'),
    trouble: troubleIn(chosen, ['Accepted', 'Programmed']),
  }
}

// Private

function takesRoutes(gateway: Json): boolean {
  return listAt(gateway, 'spec', 'listeners').some(
    (listener) =>
      ['HTTP', 'HTTPS'].includes(textAt(listener, 'protocol')) &&
      textAt(listener, 'allowedRoutes', 'namespaces', 'from') === 'All',
  )
}

function keyOf(gateway: Json): string {
  return `${textAt(gateway, 'metadata', 'namespace')}/${textAt(gateway, 'metadata', 'name')}`
}

/** What its controller says against it; the API server itself puts `Unknown` there until one says anything. */
function troubleIn(gateway: Json, types: readonly string[]): string | null {
  const conditions = listAt(gateway, 'status', 'conditions')
  for (const type of types) {
    const condition = named(conditions, 'type', type)
    if (textAt(condition, 'status') === 'True') continue
    const text = `${textAt(condition, 'reason')}: ${textAt(condition, 'message')}`
    return condition === null ? `no controller says ${type}` : text
  }
  return null
}
