import type { Workload } from '../model/engine.ts'
import type { AppRef } from '../model/names.ts'
import { LABELS, namespaceOf } from './labels.ts'
import { kubeObject, type KubeObject, type Labels } from './object.ts'
import { isStateful, peersServiceName, slotServiceName } from './object-names.ts'
import { copiesSelector, ownershipLabels } from './ownership.ts'
import { environmentNamespaces } from './plan-base.ts'
import type { BaseSettings } from './plan-settings.ts'
import { portOf } from './pod-template.ts'
import type { Slot, SlottedTrack } from './slots.ts'

export const SERVICE_PORT = 80

/** Under what names a process is found inside the cluster. */
export function planServices(
  ref: AppRef,
  { spec }: Workload,
  slotted: readonly SlottedTrack[],
  settings: BaseSettings,
): readonly KubeObject[] {
  const [first] = slotted
  if (first === undefined) return []
  const port = portOf(first.track.spec, first.track.image)
  const service = (name: string, fields: Readonly<Record<string, unknown>>): KubeObject =>
    kubeObject({
      apiVersion: 'v1',
      kind: 'Service',
      name,
      namespace: namespaceOf(ref),
      labels: ownershipLabels({ ref, owner: settings.owner, process: spec.name }),
      fields: { spec: fields },
    })
  const ports = [{ name: 'http', port: SERVICE_PORT, targetPort: 'http', protocol: 'TCP' }]
  const weighted = settings.facts.gateway !== null && spec.routes.length > 0
  const cluster = (selector: Labels): Readonly<Record<string, unknown>> => ({
    type: 'ClusterIP',
    selector,
    ports,
  })
  return [
    ...(port === null
      ? []
      : [service(spec.name, cluster(copiesSelector(spec.name, servingSlot(slotted))))]),
    ...(port === null || !weighted
      ? []
      : slotted.map(({ slot }) =>
          service(slotServiceName(spec.name, slot), cluster(copiesSelector(spec.name, slot))),
        )),
    ...(spec.peers || isStateful(spec)
      ? [
          service(peersServiceName(spec.name), {
            type: 'ClusterIP',
            clusterIP: 'None',
            // Members must find each other before they are ready.
            publishNotReadyAddresses: true,
            selector: copiesSelector(spec.name, null),
            ...(port === null ? {} : { ports }),
          }),
        ]
      : []),
  ]
}

/** The one slot that has all the traffic; null where it is shared, by the number of copies. */
export function servingSlot(slotted: readonly SlottedTrack[]): Slot | null {
  const all = slotted.find(({ track }) => track.weight === 100)
  return all?.slot ?? (slotted.length === 1 ? (slotted[0]?.slot ?? null) : null)
}

/** Who may call a process: what carries requests from outside, if it has routes, and whom the app file names. */
export function planPolicy(
  ref: AppRef,
  { spec }: Workload,
  slotted: readonly SlottedTrack[],
  settings: BaseSettings,
): readonly KubeObject[] {
  const [first] = slotted
  const port = first === undefined ? null : portOf(first.track.spec, first.track.image)
  const self = { podSelector: { matchLabels: copiesSelector(spec.name, null) } }
  const sources = [
    ...outsideOf(spec.routes.length > 0, settings),
    ...callersOf(ref, spec, settings),
  ]
  const open = spec.routes.length > 0 && settings.facts.routerNamespaces === null
  const ports = [{ protocol: 'TCP', port: 'http' }]
  const ingress = [
    // An empty list of sources would mean everybody.
    ...(port === null || (sources.length === 0 && !open)
      ? []
      : [{ ports, ...(open ? {} : { from: sources }) }]),
    ...(spec.peers || isStateful(spec) ? [{ from: [self] }] : []),
  ]
  if (ingress.length === 0) return []
  return [
    kubeObject({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      name: spec.name,
      namespace: namespaceOf(ref),
      labels: ownershipLabels({ ref, owner: settings.owner, process: spec.name }),
      fields: { spec: { ...self, policyTypes: ['Ingress'], ingress } },
    }),
  ]
}

// Private

function outsideOf(routed: boolean, { facts }: BaseSettings): readonly unknown[] {
  if (!routed || facts.routerNamespaces === null) return []
  return [...facts.routerNamespaces].sort().map((name) => ({
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } },
  }))
}

function callersOf(
  ref: AppRef,
  { callers }: Workload['spec'],
  { owner }: BaseSettings,
): readonly unknown[] {
  if (callers === null) return [{ namespaceSelector: environmentNamespaces(ref, owner) }]
  return [...callers]
    .sort((a, b) => (`${a.app}/${a.process}` < `${b.app}/${b.process}` ? -1 : 1))
    .map(({ app, process }) => ({
      namespaceSelector: {
        matchLabels: {
          [LABELS.app]: app,
          [LABELS.environment]: ref.environment,
          [LABELS.owner]: owner,
        },
      },
      podSelector: { matchLabels: { [LABELS.process]: process } },
    }))
}
