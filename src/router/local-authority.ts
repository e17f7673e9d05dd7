import 'reflect-metadata'
import { randomBytes, webcrypto } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { createSecureContext, type SecureContext } from 'node:tls'
import * as x509 from '@peculiar/x509'
import { readIfExists, writeAtomically } from '../lib/atomic-file.ts'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const DAY = 86_400_000
const CACHED = 1000

/** A certificate authority of this machine alone: signs a certificate for each of its own host names when a client first asks for one. */
export class LocalAuthority {
  readonly certificatePem: string
  readonly #certificate: x509.X509Certificate
  readonly #key: webcrypto.CryptoKey
  readonly #now: () => number
  readonly #contexts = new Map<string, Promise<SecureContext>>()

  private constructor(
    certificate: x509.X509Certificate,
    key: webcrypto.CryptoKey,
    now: () => number,
  ) {
    this.#certificate = certificate
    this.#key = key
    this.#now = now
    this.certificatePem = certificate.toString('pem')
  }

  /** Reads `ca.pem` and `ca-key.pem` (mode 0600) from the folder, or makes them. */
  static async open(folder: string, now: () => number): Promise<LocalAuthority> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const [certificate, key] = await Promise.all([
      readIfExists(join(folder, 'ca.pem')),
      readIfExists(join(folder, 'ca-key.pem')),
    ])
    if (certificate === null || key === null) return LocalAuthority.#create(folder, now)
    return new LocalAuthority(new x509.X509Certificate(certificate), await importKey(key), now)
  }

  /** The certificate for a host name, valid 90 days, made anew after 60. */
  context(host: string): Promise<SecureContext> {
    const slot = `${host} ${String(Math.floor(this.#now() / (60 * DAY)))}`
    const cached = this.#contexts.get(slot)
    if (cached !== undefined) return cached
    const made = this.#issue(host).then((files) => createSecureContext(files))
    this.#contexts.set(slot, made)
    made.catch(() => this.#contexts.delete(slot))
    const oldest = this.#contexts.keys().next().value
    if (this.#contexts.size > CACHED && oldest !== undefined) this.#contexts.delete(oldest)
    return made
  }

  /** Certificate with chain and key in PEM, for clients that name no host. */
  async files(host: string): Promise<{ readonly cert: string; readonly key: string }> {
    return this.#issue(host)
  }

  static async #create(folder: string, now: () => number): Promise<LocalAuthority> {
    const { certificate, key } = await LocalAuthority.generate(now)
    await writeAtomically(join(folder, 'ca-key.pem'), key)
    await writeAtomically(join(folder, 'ca.pem'), certificate, { mode: 0o644 })
    return LocalAuthority.open(folder, now)
  }

  /** A new authority in PEM, as `open` reads it. */
  static async generate(
    now: () => number,
  ): Promise<{ readonly certificate: string; readonly key: string }> {
    const keys = await generateKeys()
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: serialNumber(),
      name: 'CN=Fairway local authority',
      notBefore: new Date(now() - DAY),
      notAfter: new Date(now() + 3650 * DAY),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
          true,
        ),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    })
    return { certificate: certificate.toString('pem'), key: await exportKey(keys.privateKey) }
  }

  async #issue(host: string): Promise<{ readonly cert: string; readonly key: string }> {
    const keys = await generateKeys()
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: [{ CN: [host.slice(0, 64)] }],
      issuer: this.#certificate.subject,
      notBefore: new Date(this.#now() - DAY),
      notAfter: new Date(this.#now() + 90 * DAY),
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: this.#key,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension(alternativeNames(host)),
        await x509.AuthorityKeyIdentifierExtension.create(this.#certificate.publicKey),
      ],
    })
    return {
      cert: `${certificate.toString('pem')}\n${this.certificatePem}\n`,
      key: await exportKey(keys.privateKey),
    }
  }
}

function alternativeNames(host: string): x509.JsonGeneralNames {
  if (host !== 'localhost') return [{ type: isIP(host) === 0 ? 'dns' : 'ip', value: host }]
  return [
    { type: 'dns', value: 'localhost' },
    { type: 'ip', value: '127.0.0.1' },
    { type: 'ip', value: '::1' },
  ]
}

// Positive and 16 bytes, as RFC 5280 4.1.2.2 wants it.
function serialNumber(): string {
  return `01${randomBytes(15).toString('hex')}`
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key)
  return x509.PemConverter.encode(der, x509.PemConverter.PrivateKeyTag)
}

async function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const [der] = x509.PemConverter.decode(pem)
  if (der === undefined) throw new Error('ca-key.pem holds no key')
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, true, ['sign'])
}
