import type { ProcessName } from '../model/names.ts'

/** Whose requests a series counts. */
export interface TrafficOwner {
  readonly process: ProcessName
  readonly release: number
}

/** What of an app serves now: the pods, and the slots that they run in. */
export interface Serving {
  readonly namespace: string
  readonly copies: readonly (TrafficOwner & { readonly name: string })[]
  readonly slots: readonly (TrafficOwner & {
    /** Name of the Deployment ('web-a'). */
    readonly workload: string
    /** Name of the slot's own Service ('web--a'). */
    readonly service: string
  })[]
  /** Paths that probes ask for: what nobody asked for says nothing of how a release serves. */
  readonly probed: readonly string[]
}

/** One way in which requests are counted in the world: names of metrics and labels. */
export interface TrafficFamily {
  readonly name: string
  /** Counter of requests; gauge of none. */
  readonly requests: string
  /** Buckets of the duration, cumulative, with the bound in `le`. */
  readonly buckets: string
  /** Milliseconds of one unit of `le`. */
  readonly unitMs: number
  /** The label that tells releases apart. */
  readonly label: string
  /** Values of that label, and whose they are. */
  readonly owners: (serving: Serving) => ReadonlyMap<string, TrafficOwner>
  /** Matchers of all series besides the label. */
  readonly where: (serving: Serving) => readonly string[]
  /** Matcher of requests that failed; by the status. */
  readonly failed: string
  /** The label with the route of a request, where probes are counted as well. */
  readonly route: string | null
}

/** Tried in this order: what sees requests from the outside first, as it counts those too that no copy answered. */
export const TRAFFIC_FAMILIES: readonly TrafficFamily[] = Object.freeze([
  istio('destination'),
  istio('waypoint'),
  istio('source'),
  {
    name: 'Linkerd',
    requests: 'response_total',
    buckets: 'response_latency_ms_bucket',
    unitMs: 1,
    label: 'pod',
    owners: copies,
    where: ({ namespace }) => [
      equal('namespace', namespace),
      equal('direction', 'inbound'),
      'route_name!="probe"',
    ],
    failed: 'status_code=~"5.."',
    route: null,
  },
  {
    // Names of clusters as Contour gives them: namespace, Service and port.
    name: 'Envoy',
    requests: 'envoy_cluster_upstream_rq_xx',
    buckets: 'envoy_cluster_upstream_rq_time_bucket',
    unitMs: 1,
    label: 'envoy_cluster_name',
    owners: ({ namespace, slots }) =>
      new Map(slots.map((slot) => [`${namespace}_${slot.service}_80`, slot])),
    where: () => [],
    failed: 'envoy_response_code_class="5"',
    route: null,
  },
  openTelemetry('OpenTelemetry', 'namespace', 'pod'),
  // The same, pushed through a collector that adds the attributes of the resource.
  openTelemetry('OpenTelemetry collector', 'k8s_namespace_name', 'k8s_pod_name'),
])

/** The label in answers that says what a number is: 'requests', 'failures' or 'durations'. */
export const PART = 'fairway_part'

/** Pure: one query for all that is to be known of an app from one family, so that all numbers are of the same moment. Null where nothing serves. */
export function trafficQuery(family: TrafficFamily, serving: Serving): string | null {
  const values = [...family.owners(serving).keys()].sort()
  if (values.length === 0) return null
  const paths = [...new Set([...serving.probed, '/metrics'])].sort()
  const matchers = [
    oneOf(family.label, values),
    ...family.where(serving),
    ...(family.route === null ? [] : [noneOf(family.route, paths)]),
  ]
  const sum = (part: string, metric: string, by: string, more: readonly string[]): string =>
    `label_replace(sum by (${by}) (${metric}{${[...matchers, ...more].join(',')}}),"${PART}","${part}","${PART}","")`
  return [
    sum('requests', family.requests, family.label, []),
    sum('failures', family.requests, family.label, [family.failed]),
    sum('durations', family.buckets, `${family.label},le`, []),
  ].join(' or ')
}

/** A label's value in a query (Prometheus: strings as in Go). */
export function quoteLabel(value: string): string {
  return `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`
}

// Private

function istio(reporter: string): TrafficFamily {
  return {
    name: `Istio (${reporter})`,
    requests: 'istio_requests_total',
    buckets: 'istio_request_duration_milliseconds_bucket',
    unitMs: 1,
    label: 'destination_workload',
    owners: ({ slots }) => new Map(slots.map((slot) => [slot.workload, slot])),
    where: ({ namespace }) => [
      equal('destination_workload_namespace', namespace),
      equal('reporter', reporter),
      // DC: the client left first, which is nobody's failure.
      'response_flags!="DC"',
    ],
    // 0: the connection broke before there was a status.
    failed: 'response_code=~"5..|0"',
    route: null,
  }
}

function openTelemetry(name: string, namespaceLabel: string, podLabel: string): TrafficFamily {
  return {
    name,
    requests: 'http_server_request_duration_seconds_count',
    buckets: 'http_server_request_duration_seconds_bucket',
    unitMs: 1000,
    label: podLabel,
    owners: copies,
    where: ({ namespace }) => [equal(namespaceLabel, namespace)],
    failed: 'http_response_status_code=~"5.."',
    route: 'http_route',
  }
}

function copies({ copies: pods }: Serving): ReadonlyMap<string, TrafficOwner> {
  return new Map(pods.map((pod) => [pod.name, pod]))
}

function equal(label: string, value: string): string {
  return `${label}=${quoteLabel(value)}`
}

function oneOf(label: string, values: readonly string[]): string {
  return `${label}=~${quoteLabel(values.map(quotePattern).join('|'))}`
}

function noneOf(label: string, values: readonly string[]): string {
  return `${label}!~${quoteLabel(values.map(quotePattern).join('|'))}`
}

/** Matchers are regular expressions of RE2, held to the whole value. */
function quotePattern(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}
