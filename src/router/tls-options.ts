import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TlsOptions } from 'node:tls'
import type { Address } from '../model/instance.ts'

export interface HttpsOptions extends Address {
  /** Paths of PEM files; without them the machine's own authority signs for every routed host. */
  readonly files?: { readonly certificate: string; readonly key: string }
}

export interface CertificateSource {
  /** Keeps the machine's authority; made where it is missing. */
  readonly stateDir: string
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** True for a host that some route names. */
  readonly serves: (host: string) => boolean
}

/** Certificates of the HTTPS listener. @throws the system's error where a file cannot be read */
export async function tlsOptionsOf(
  https: HttpsOptions,
  { stateDir, now, serves }: CertificateSource,
): Promise<TlsOptions> {
  const common: TlsOptions = { ALPNProtocols: ['h2', 'http/1.1'], minVersion: 'TLSv1.2' }
  if (https.files !== undefined) {
    const { certificate, key } = https.files
    return { ...common, cert: await readFile(certificate), key: await readFile(key) }
  }
  // Loaded only where it is needed: half of the router's memory at rest.
  const { LocalAuthority } = await import('./local-authority.ts')
  const authority = await LocalAuthority.open(join(stateDir, 'tls'), now)
  return {
    ...common,
    SNICallback: (name, done) => {
      const host = name.toLowerCase()
      // Only hosts that are served get a certificate: nobody makes us sign and store names without end.
      authority.context(serves(host) ? host : 'localhost').then(
        (context) => done(null, context),
        (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
      )
    },
    ...(await authority.files('localhost')),
  }
}
