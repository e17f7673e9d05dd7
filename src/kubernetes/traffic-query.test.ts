import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseProcessName } from '../model/names.ts'
import { quoteLabel, TRAFFIC_FAMILIES, trafficQuery, type Serving } from './traffic-query.ts'

const WEB = parseProcessName('web')
const SERVING: Serving = {
  namespace: 'shop--production',
  copies: [
    { name: 'web-b-77-x', process: WEB, release: 2 },
    { name: 'web-a-66-y', process: WEB, release: 1 },
  ],
  slots: [
    { workload: 'web-a', service: 'web--a', process: WEB, release: 1 },
    { workload: 'web-b', service: 'web--b', process: WEB, release: 2 },
  ],
  probed: ['/health.z', '/health.z'],
}

const queryOf = (name: string, serving = SERVING): string | null => {
  const family = TRAFFIC_FAMILIES.find((one) => one.name === name)
  assert.ok(family)
  return trafficQuery(family, serving)
}

test('a mesh is asked by Deployment, a gateway by Service, the app by pod', () => {
  assert.equal(
    queryOf('Istio (destination)')?.split(' or ')[1],
    'label_replace(sum by (destination_workload) (istio_requests_total{destination_workload=~"web-a|web-b",' +
      'destination_workload_namespace="shop--production",reporter="destination",response_flags!="DC",response_code=~"5..|0"}),' +
      '"fairway_part","failures","fairway_part","")',
  )
  assert.match(
    queryOf('Envoy') ?? '',
    /envoy_cluster_name=~"shop--production_web--a_80\|shop--production_web--b_80"/,
  )
  assert.match(
    queryOf('OpenTelemetry') ?? '',
    /sum by \(pod,le\) \(http_server_request_duration_seconds_bucket\{pod=~"web-a-66-y\|web-b-77-x",namespace="shop--production",/,
  )
})

test('probes and scrapes are nobody’s traffic', () => {
  assert.match(queryOf('OpenTelemetry') ?? '', /http_route!~"\/health\\\\\.z\|\/metrics"/)
})

test('where nothing serves nothing is asked', () => {
  for (const family of TRAFFIC_FAMILIES)
    assert.equal(trafficQuery(family, { ...SERVING, copies: [], slots: [] }), null)
})

test('no value leaves its quotes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const quoted = quoteLabel(text)
      assert.match(quoted, /^"(?:[^"\\\n]|\\\\|\\"|\\n)*"$/)
    }),
  )
})
