/** What the router answers by itself: status, stable code (header `x-fairway-error`) and one sentence that tells nothing about the inside. */
export const PROBLEMS = {
  'bad-request': { status: 400, text: 'The request is not valid HTTP.' },
  'caller-unknown': { status: 403, text: 'This address may not call internal names.' },
  'outside-refused': {
    status: 403,
    text: 'This leads to a program of this machine: call it without the proxy (no_proxy).',
  },
  'no-route': { status: 404, text: 'There is no app at this address.' },
  'method-refused': { status: 405, text: 'This method is not served here.' },
  'request-timeout': { status: 408, text: 'The request took too long to arrive.' },
  'uri-too-long': { status: 414, text: 'The request line is too long.' },
  'expectation-failed': { status: 417, text: 'This expectation cannot be met.' },
  misdirected: { status: 421, text: 'This connection does not serve that host.' },
  'head-too-large': { status: 431, text: 'The request headers are too large.' },
  'upstream-refused': { status: 502, text: 'The app did not accept the connection.' },
  'upstream-invalid': { status: 502, text: 'The app did not answer with valid HTTP.' },
  'upstream-closed': { status: 502, text: 'The app closed the connection before it answered.' },
  'outside-unknown': { status: 502, text: 'This host name does not resolve.' },
  'no-target': { status: 503, text: 'The app is not running right now.' },
  drained: { status: 503, text: 'The app was stopped before it answered.' },
  'upstream-timeout': { status: 504, text: 'The app took too long to answer.' },
  'version-unsupported': { status: 505, text: 'This version of HTTP is not supported.' },
} as const satisfies Record<string, { readonly status: number; readonly text: string }>

export type Problem = keyof typeof PROBLEMS

export interface ProblemPage {
  readonly status: number
  readonly type: string
  readonly body: string
  /** Seconds, for 503 only. */
  readonly retryAfter: number | null
}

/** A short page, HTML only where the client's Accept names it. */
export function problemPage(problem: Problem, accept: string): ProblemPage {
  const { status, text } = PROBLEMS[problem]
  const retryAfter = status === 503 ? 1 : null
  if (!accept.includes('text/html')) {
    return { status, type: 'text/plain; charset=utf-8', body: `${text}\n`, retryAfter }
  }
  const body = `<!doctype html><html lang="en"><meta charset="utf-8"><title>${status}</title><h1>${status}</h1><p>${text}</p></html>\n`
  return { status, type: 'text/html; charset=utf-8', body, retryAfter }
}
