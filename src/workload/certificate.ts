/** X.509 of SPIFFE: roots and X.509-SVIDs (X509-SVID sections 2 to 4). Loaded when the first instance needs it: the library weighs some megabytes. */
import 'reflect-metadata'
import { randomBytes, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import type { Root } from './authority-state.ts'
import { derOf, pem } from './pem.ts'
import { spiffeIdText, type SpiffeId } from './spiffe-id.ts'

/** An X.509-SVID without its key. */
export interface X509Leaf {
  readonly id: SpiffeId
  /** DER of the leaf; roots sign leaves themselves, so there is no chain. */
  readonly certificate: Buffer
  readonly issuedAt: number
  readonly notAfter: number
}

/** An X.509-SVID with its key: what an instance proves who it is with. */
export interface X509Svid extends X509Leaf {
  /** DER of PKCS#8, not encrypted, as the Workload API wants it. */
  readonly key: Buffer
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
/** Clocks of peers may be behind ours. */
const BACKDATED_MS = 120_000
/** A clock that is set back by hours must not keep instances from starting. */
const ROOT_BACKDATED_MS = 86_400_000

/** A new root for the trust domain, valid `lifeMs` from `now`, and a key for JWT-SVIDs. */
export async function makeRoot(
  trustDomain: string,
  { now, lifeMs }: { readonly now: number; readonly lifeMs: number },
): Promise<Root> {
  const [keys, jwtKeys] = await Promise.all([generateKeys(), generateKeys()])
  const id = randomBytes(8).toString('hex')
  const notAfter = wholeSecond(now + lifeMs)
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `O=Fairway, CN=Identities ${id}`,
    notBefore: new Date(now - ROOT_BACKDATED_MS),
    notAfter: new Date(notAfter),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      new x509.SubjectAlternativeNameExtension([
        { type: 'url', value: spiffeIdText({ trustDomain, path: '' }) },
      ]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return {
    id,
    createdAt: now,
    notAfter,
    certificate: certificate.toString('pem'),
    key: pem('PRIVATE KEY', await exportKey(keys.privateKey)),
    jwtKey: pem('PRIVATE KEY', await exportKey(jwtKeys.privateKey)),
  }
}

/** Signs one leaf with a new key. It ends with its root at the latest. */
export async function issueX509Svid(
  root: Root,
  id: SpiffeId,
  times: { readonly now: number; readonly lifeMs: number },
): Promise<X509Svid> {
  const keys = await generateKeys()
  const leaf = await signLeaf(root, id, keys.publicKey, times)
  return { ...leaf, key: await exportKey(keys.privateKey) }
}

/**
 * Signs one leaf for a key that somebody else holds: DER of a SubjectPublicKeyInfo of P-256.
 * @throws Error for any other key
 */
export async function certifyKey(
  root: Root,
  id: SpiffeId,
  publicKey: Uint8Array<ArrayBuffer>,
  times: { readonly now: number; readonly lifeMs: number },
): Promise<X509Leaf> {
  const key = await webcrypto.subtle.importKey('spki', publicKey, ALGORITHM, true, ['verify'])
  return signLeaf(root, id, key, times)
}

async function signLeaf(
  root: Root,
  id: SpiffeId,
  publicKey: webcrypto.CryptoKey,
  { now, lifeMs }: { readonly now: number; readonly lifeMs: number },
): Promise<X509Leaf> {
  const issuer = new x509.X509Certificate(root.certificate)
  const signingKey = await importKey(root.key)
  const notAfter = wholeSecond(Math.min(now + lifeMs, root.notAfter))
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    // Without a common name: nobody can take it for a host name.
    subject: 'O=Fairway',
    issuer: issuer.subject,
    notBefore: new Date(now - BACKDATED_MS),
    notAfter: new Date(notAfter),
    signingAlgorithm: ALGORITHM,
    publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: spiffeIdText(id) }]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  })
  return { id, certificate: Buffer.from(leaf.rawData), issuedAt: now, notAfter }
}

// Positive and 16 bytes, as RFC 5280 4.1.2.2 wants it.
function serialNumber(): string {
  return `01${randomBytes(15).toString('hex')}`
}

/** Certificates know no milliseconds. */
function wholeSecond(ms: number): number {
  return Math.floor(ms / 1000) * 1000
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
}

async function exportKey(key: webcrypto.CryptoKey): Promise<Buffer> {
  return Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key))
}

async function importKey(text: string): Promise<webcrypto.CryptoKey> {
  return webcrypto.subtle.importKey('pkcs8', new Uint8Array(derOf([text])), ALGORITHM, false, [
    'sign',
  ])
}
