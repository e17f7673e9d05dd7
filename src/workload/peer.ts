/** Who is on the other side: the rules by which an X.509-SVID is accepted or refused (X509-SVID sections 4 and 5). */
import 'reflect-metadata'
import * as x509 from '@peculiar/x509'
import { parseSpiffeId, type SpiffeId } from './spiffe-id.ts'

export type PeerVerdict =
  | { readonly accepted: true; readonly id: SpiffeId }
  | { readonly accepted: false; readonly reason: string }

export interface PeerTrust {
  /** Trust domain -> its roots in PEM. Never one pool for all: a root may only vouch for its own trust domain. */
  readonly bundles: ReadonlyMap<string, readonly string[]>
  readonly now: number
}

/** Judges a leaf (PEM or DER) that was signed by a root itself. Refused unless everything is as the standard says. */
export async function judgePeer(
  leaf: string | Uint8Array<ArrayBuffer>,
  { bundles, now }: PeerTrust,
): Promise<PeerVerdict> {
  const certificate = parsed(leaf)
  if (certificate === null) return refused('it is no certificate')
  const id = soleId(certificate)
  if (id === null) return refused('it does not name exactly one SPIFFE ID')
  if (id.path === '') return refused('its SPIFFE ID names a trust domain, not a workload')
  const wrong = wrongUse(certificate)
  if (wrong !== null) return refused(wrong)
  const bundle = bundles.get(id.trustDomain)
  if (bundle === undefined) return refused(`the trust domain ${id.trustDomain} is not known`)
  if (certificate.notBefore.getTime() > now) return refused('it is not valid yet')
  if (certificate.notAfter.getTime() <= now) return refused('it has expired')
  for (const text of bundle) {
    const root = new x509.X509Certificate(text)
    if (root.notBefore.getTime() > now || root.notAfter.getTime() <= now) continue
    if (await certificate.verify({ publicKey: root.publicKey, signatureOnly: true }))
      return { accepted: true, id }
  }
  return refused(`no root of ${id.trustDomain} signed it`)
}

function refused(reason: string): PeerVerdict {
  return { accepted: false, reason }
}

function parsed(leaf: string | Uint8Array<ArrayBuffer>): x509.X509Certificate | null {
  try {
    return new x509.X509Certificate(leaf)
  } catch {
    return null
  }
}

/** More than one URI is refused, also where only one of them is a SPIFFE ID. */
function soleId(certificate: x509.X509Certificate): SpiffeId | null {
  const names = certificate.getExtension(x509.SubjectAlternativeNameExtension)?.names.items ?? []
  const uris = names.filter(({ type }) => type === 'url')
  const [uri] = uris
  return uris.length === 1 && uri !== undefined ? parseSpiffeId(uri.value) : null
}

function wrongUse(certificate: x509.X509Certificate): string | null {
  if (certificate.getExtension(x509.BasicConstraintsExtension)?.ca === true)
    return 'it is an authority, not a workload'
  const usage = certificate.getExtension(x509.KeyUsagesExtension)
  if (usage?.critical !== true) return 'its key usage is missing or not critical'
  const forbidden = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign
  if ((usage.usages & forbidden) !== 0) return 'its key may sign certificates'
  if ((usage.usages & x509.KeyUsageFlags.digitalSignature) === 0) return 'its key may not sign'
  return null
}
