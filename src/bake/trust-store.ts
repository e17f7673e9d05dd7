import { createHash, X509Certificate } from 'node:crypto'

/**
 * A Java trust store (JKS, version 2) of the certificates of a PEM bundle: what `keytool -importcert` would make of them, but the
 * same bytes every time. The format is a header, one trusted-certificate entry each, and SHA-1 over password, a fixed phrase and all
 * of it (sun.security.provider.JavaKeyStore); the customary password protects nothing.
 */
export function javaTrustStore(pem: string): Uint8Array {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  const parts: Buffer[] = [uint32(MAGIC), uint32(2), uint32(blocks.length)]
  blocks.forEach((block, index) => {
    const der = new X509Certificate(block).raw
    parts.push(
      uint32(TRUSTED_CERTIFICATE),
      text(`ca-${String(index)}`),
      Buffer.alloc(8),
      text('X.509'),
      uint32(der.length),
      der,
    )
  })
  const body = Buffer.concat(parts)
  const password = Buffer.from('changeit', 'utf16le').swap16()
  const digest = createHash('sha1')
    .update(password)
    .update('Mighty Aphrodite')
    .update(body)
    .digest()
  return Buffer.concat([body, digest])
}

const MAGIC = 0xfeedfeed
const TRUSTED_CERTIFICATE = 2

function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32BE(value)
  return buffer
}

/** DataOutput.writeUTF for ASCII. */
function text(value: string): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(value.length)
  return Buffer.concat([length, Buffer.from(value, 'latin1')])
}
