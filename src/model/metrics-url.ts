import { isIP } from 'node:net'
import { FairwayError } from './errors.ts'

const MAX_URL = 2048

/**
 * URL of something that speaks the HTTP API of Prometheus, as people write it; without a `/` at its end. Below it lies `api/v1/query`.
 * Plain http only where nobody else is on the way: to this machine itself and to Services inside of the cluster.
 * @throws FairwayError INVALID_REQUEST
 */
export function parseMetricsUrl(text: string): string {
  const url = text.length > MAX_URL || !URL.canParse(text) ? null : new URL(text)
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new FairwayError('INVALID_REQUEST', `${quoted(text)} is no http(s) URL of metrics`)
  }
  if (url.username !== '' || url.password !== '') {
    throw new FairwayError('INVALID_REQUEST', 'the URL of the metrics holds a user or a password', {
      hint: 'Give `--metrics-token -` and the token on standard input.',
    })
  }
  if (url.search !== '' || url.hash !== '') {
    throw new FairwayError('INVALID_REQUEST', 'the URL of the metrics has no query and no fragment')
  }
  if (url.protocol === 'http:' && !isNear(url.hostname)) {
    throw new FairwayError('INVALID_REQUEST', `${quoted(text)} is plain http over a network`, {
      hint: 'Use https; http is for loopback and for Services of the cluster (NAME.NAMESPACE.svc).',
    })
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`
}

// Private

function quoted(text: string): string {
  // Whatever stands before an @ may be a password.
  return JSON.stringify(text.slice(0, 200).replace(/\/\/[^/]*@/, '//…@'))
}

function isNear(host: string): boolean {
  if (host === 'localhost' || host === '[::1]') return true
  if (isIP(host) === 4) return host.startsWith('127.')
  return /^[a-z0-9-]+\.[a-z0-9-]+\.svc(?:\.[a-z0-9.-]+)?$/.test(host)
}
