import 'reflect-metadata'
import { generateKeyPairSync, randomBytes, webcrypto } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as x509 from '@peculiar/x509'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const DAY = 86_400_000

export interface Subject {
  readonly name: string
  /** Kubernetes reads it as a group. */
  readonly organization?: string
  /** Names and addresses of a server; a certificate without them is a client's. */
  readonly dns?: readonly string[]
  readonly addresses?: readonly string[]
}

export interface KeyPair {
  readonly certificate: string
  readonly key: string
}

/** A certificate authority that lives as long as its lab. */
export class Authority {
  readonly certificate: string
  readonly #parsed: x509.X509Certificate
  readonly #keys: webcrypto.CryptoKeyPair

  private constructor(parsed: x509.X509Certificate, keys: webcrypto.CryptoKeyPair) {
    this.certificate = `${parsed.toString('pem')}\n`
    this.#parsed = parsed
    this.#keys = keys
  }

  static async create(name: string): Promise<Authority> {
    const keys = await generateKeys()
    const parsed = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: serialNumber(),
      name: [{ CN: [name] }],
      ...validity(),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.keyCertSign |
            x509.KeyUsageFlags.cRLSign |
            x509.KeyUsageFlags.digitalSignature,
          true,
        ),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    })
    return new Authority(parsed, keys)
  }

  key(): Promise<string> {
    return exportKey(this.#keys.privateKey)
  }

  async issue({ name, organization, dns = [], addresses = [] }: Subject): Promise<KeyPair> {
    const keys = await generateKeys()
    const names: x509.JsonGeneralNames = [
      ...dns.map((value) => ({ type: 'dns' as const, value })),
      ...addresses.map((value) => ({ type: 'ip' as const, value })),
    ]
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: [...(organization === undefined ? [] : [{ O: [organization] }]), { CN: [name] }],
      issuer: this.#parsed.subject,
      ...validity(),
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([
          x509.ExtendedKeyUsage.clientAuth,
          ...(names.length > 0 ? [x509.ExtendedKeyUsage.serverAuth] : []),
        ]),
        ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
        await x509.AuthorityKeyIdentifierExtension.create(this.#parsed.publicKey),
      ],
    })
    return {
      certificate: `${certificate.toString('pem')}\n`,
      key: await exportKey(keys.privateKey),
    }
  }
}

/** Writes `<name>.crt` and `<name>.key`. */
export async function writePair(folder: string, name: string, pair: KeyPair): Promise<void> {
  await writeFile(join(folder, `${name}.crt`), pair.certificate, { mode: 0o600 })
  await writeFile(join(folder, `${name}.key`), pair.key, { mode: 0o600 })
}

/** Key that signs service account tokens: `service-accounts.key` and `service-accounts.pub`. */
export async function writeTokenKey(folder: string): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  await writeFile(join(folder, 'service-accounts.key'), privateKey, { mode: 0o600 })
  await writeFile(join(folder, 'service-accounts.pub'), publicKey, { mode: 0o600 })
}

/** A kubeconfig that holds everything itself (JSON is YAML). */
export function kubeconfig(server: string, authority: Authority, pair: KeyPair): string {
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  const user = {
    'client-certificate-data': base64(pair.certificate),
    'client-key-data': base64(pair.key),
  }
  const cluster = { server, 'certificate-authority-data': base64(authority.certificate) }
  return `${JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'lab', cluster }],
      users: [{ name: 'lab', user }],
      contexts: [{ name: 'lab', context: { cluster: 'lab', user: 'lab' } }],
      'current-context': 'lab',
    },
    null,
    2,
  )}\n`
}

function validity(): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(Date.now() - DAY), notAfter: new Date(Date.now() + 365 * DAY) }
}

function serialNumber(): string {
  return `01${randomBytes(15).toString('hex')}`
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key)
  return `${x509.PemConverter.encode(der, x509.PemConverter.PrivateKeyTag)}\n`
}
