import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseMetricsUrl } from './metrics-url.ts'

test('URLs of metrics without the slash at their end', () => {
  for (const [given, kept] of [
    ['https://prometheus.example/', 'https://prometheus.example'],
    ['https://metrics.example:8443/select/0/prometheus/', undefined],
    ['http://127.0.0.1:9090', undefined],
    ['http://localhost:9090', undefined],
    ['http://[::1]:9090', undefined],
    ['http://prometheus.monitoring.svc:9090', undefined],
    ['http://prometheus.monitoring.svc.cluster.local:9090', undefined],
  ] as const)
    assert.equal(parseMetricsUrl(given), kept ?? given.replace(/\/$/, ''))
})

test('what would send a token in the clear, or holds one, is refused', () => {
  for (const [given, words] of [
    ['http://prometheus.example/', /plain http/],
    ['http://10.0.0.5:9090', /plain http/],
    ['http://127.0.0.1.example.com', /plain http/],
    ['http://svc.example', /plain http/],
    ['ftp://prometheus.example', /no http\(s\) URL/],
    ['prometheus.example', /no http\(s\) URL/],
    ['https://x.example/?a=1', /no query/],
    ['https://x.example/#a', /no query/],
    ['', /no http\(s\) URL/],
    [`https://x.example/${'a'.repeat(3000)}`, /no http\(s\) URL/],
  ] as const)
    assert.throws(() => parseMetricsUrl(given), { code: 'INVALID_REQUEST', message: words })
})

test('a password in the URL is refused and not repeated', () => {
  for (const url of ['https://me:hunter2@x.example/', 'ftp://me:hunter2@x.example/'])
    assert.throws(
      () => parseMetricsUrl(url),
      (error: Error) => !error.message.includes('hunter2'),
    )
})
