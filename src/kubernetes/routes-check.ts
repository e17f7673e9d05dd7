import type { HostCheck } from '../model/host.ts'
import type { ClusterFacts } from './cluster-facts.ts'
import type { Json } from './json-value.ts'
import { routeFacts, routeState } from './route-facts.ts'

/** How many routes are named that are not carried. */
const NAMED = 5

/** Pure: what carries requests from outside, and whether it carries those of all routes. @param routes Fairway's HTTPRoutes as the API server has them */
export function routesCheck(
  { gateway, ingressClass }: ClusterFacts,
  routes: readonly Json[],
): HostCheck {
  if (gateway !== null) {
    const key = `${gateway.namespace}/${gateway.name}`
    const attach = `routes attach to Gateway ${key} (class ${gateway.class})`
    const look = `kubectl describe gateway ${gateway.name} -n ${gateway.namespace}`
    if (gateway.trouble !== null)
      return warn(`${attach}, which is not ready: ${gateway.trouble}`, `See \`${look}\`.`)
    const troubles = routes.map(troubleOf).filter((trouble) => trouble !== null)
    if (troubles.length === 0) return ok(`${attach}; canaries split traffic by weight`)
    const more = troubles.length > NAMED ? `; ${String(troubles.length - NAMED)} more` : ''
    const count = `${String(troubles.length)} of ${String(routes.length)} are not carried`
    return warn(
      `${attach}; ${count}: ${troubles.slice(0, NAMED).join('; ')}${more}`,
      `Give routes a host that a listener takes, and see \`${look}\`.`,
    )
  }
  if (ingressClass !== null)
    return ok(
      `routes become Ingresses of class ${ingressClass}; canaries split traffic by number of copies, for there is no Gateway that takes routes from all namespaces`,
    )
  return warn(
    'neither a Gateway that takes routes from all namespaces nor a default IngressClass: apps are reachable inside the cluster only',
    'Install a Gateway API implementation and a Gateway.',
  )
}

// Private

/** Who only looks once cannot tell a moment from an hour: all that is not as it should be is told. */
function troubleOf(route: Json): string | null {
  const facts = routeFacts(route, 0)
  const { trouble } = routeState(facts, Infinity)
  return trouble === null ? null : `${facts.namespace}/${facts.name}: ${trouble}`
}

function ok(message: string): HostCheck {
  return { name: 'routes', status: 'ok', message, fix: null }
}

function warn(message: string, fix: string): HostCheck {
  return { name: 'routes', status: 'warn', message, fix }
}
