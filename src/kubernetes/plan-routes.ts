import type { RouteSpec } from '../model/app-spec.ts'
import type { Workload } from '../model/engine.ts'
import type { AppRef } from '../model/names.ts'
import type { GatewayFacts } from './cluster-facts.ts'
import { namespaceOf } from './labels.ts'
import { contentHash, kubeObject, type KubeObject } from './object.ts'
import { slotServiceName } from './object-names.ts'
import { ownershipLabels } from './ownership.ts'
import { SERVICE_PORT } from './plan-network.ts'
import type { PlanSettings } from './plan-settings.ts'
import type { SlottedTrack } from './slots.ts'

/** How requests from outside reach a process: routes at the Gateway, else an Ingress, else nothing does. */
export function planRoutes(
  ref: AppRef,
  workload: Workload,
  slotted: readonly SlottedTrack[],
  settings: PlanSettings,
): readonly KubeObject[] {
  const { gateway, ingressClass } = settings.facts
  const hosts = pathsByHost(workload.spec.routes, settings.defaultHost(ref))
  if (hosts.size === 0 || slotted.length === 0) return []
  if (gateway !== null)
    return [...hosts].map(([host, paths]) =>
      httpRoute({ ref, workload, slotted, settings, gateway, host, paths }),
    )
  return ingressClass === null ? [] : [ingress(ref, workload, hosts, ingressClass, settings)]
}

// Private

interface HttpRouteInput {
  readonly ref: AppRef
  readonly workload: Workload
  readonly slotted: readonly SlottedTrack[]
  readonly settings: PlanSettings
  readonly gateway: GatewayFacts
  readonly host: string
  readonly paths: readonly string[]
}

function pathsByHost(
  routes: readonly RouteSpec[],
  defaultHost: string,
): ReadonlyMap<string, readonly string[]> {
  const hosts = [...new Set(routes.map(({ host }) => host ?? defaultHost))].sort()
  return new Map(
    hosts.map((host) => [
      host,
      routes
        .filter((route) => (route.host ?? defaultHost) === host)
        .map(({ path }) => path)
        .sort(),
    ]),
  )
}

function httpRoute(input: HttpRouteInput): KubeObject {
  const { ref, workload, slotted, settings, gateway, host, paths } = input
  const process = workload.process
  return kubeObject({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    name: `${process}--${contentHash(host, 8)}`,
    namespace: namespaceOf(ref),
    labels: ownershipLabels({ ref, owner: settings.owner, process }),
    fields: {
      spec: {
        parentRefs: [
          {
            group: 'gateway.networking.k8s.io',
            kind: 'Gateway',
            namespace: gateway.namespace,
            name: gateway.name,
          },
        ],
        hostnames: [host],
        rules: [
          {
            matches: paths.map((value) => ({ path: { type: 'PathPrefix', value } })),
            backendRefs: slotted.map(({ slot, track }) => ({
              group: '',
              kind: 'Service',
              name: slotServiceName(process, slot),
              port: SERVICE_PORT,
              weight: slotted.length === 1 ? 100 : track.weight,
            })),
          },
        ],
      },
    },
  })
}

function ingress(
  ref: AppRef,
  { process }: Workload,
  hosts: ReadonlyMap<string, readonly string[]>,
  ingressClassName: string,
  settings: PlanSettings,
): KubeObject {
  const backend = { service: { name: process, port: { number: SERVICE_PORT } } }
  return kubeObject({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    name: process,
    namespace: namespaceOf(ref),
    labels: ownershipLabels({ ref, owner: settings.owner, process }),
    fields: {
      spec: {
        ingressClassName,
        rules: [...hosts].map(([host, paths]) => ({
          host,
          http: { paths: paths.map((path) => ({ path, pathType: 'Prefix', backend })) },
        })),
      },
    },
  })
}
