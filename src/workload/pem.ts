/** One block of PEM (RFC 7468). */
export function pem(label: 'CERTIFICATE' | 'PRIVATE KEY', der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

/** What blocks of PEM hold, one after the other, as the Workload API gives bundles. */
export function derOf(blocks: readonly string[]): Buffer {
  const bodies = blocks.flatMap((text) =>
    [...text.matchAll(/-----BEGIN [A-Z ]+-----([^-]+)-----END/g)].map(([, body = '']) => body),
  )
  return Buffer.concat(bodies.map((body) => Buffer.from(body, 'base64')))
}
