import { readFile } from 'node:fs/promises'
import type { Server, ServerOptions } from 'node:https'
import type { Clock } from '../model/clock.ts'
import { SECRETS_SERVER_NAME } from '../model/instance-secrets.ts'
import { LocalAuthority } from '../router/local-authority.ts'
import type { AccessConfig, Config } from './config.ts'

export interface AccessCertificatesOptions {
  readonly access: AccessConfig
  readonly config: Pick<Config, 'hostNames'>
  readonly folder: string
  readonly clock: Clock
}

export interface AccessCertificates {
  readonly tls: ServerOptions
  /** PEM of our own authority; null where the certificate was given. */
  readonly ca: string | null
  /** The same authority in any case: it signs for the name under which instances call. */
  readonly instanceCa: string
  /** Gives a server new certificates in time, until `close`. */
  renew(server: Server): void
  close(): void
}

const DAY = 86_400_000

/** The certificate that was configured, else those of an authority of this server's own. */
export async function openAccessCertificates(
  options: AccessCertificatesOptions,
): Promise<AccessCertificates> {
  const { access, config, folder, clock } = options
  let timer: NodeJS.Timeout | null = null
  const close = (): void => {
    if (timer !== null) clearInterval(timer)
  }
  const every = (task: () => Promise<void>): void => {
    timer = setInterval(() => void task().catch(() => undefined), DAY).unref()
  }
  const authority = await LocalAuthority.open(access.authority ?? folder, () => clock.now())
  const instanceCa = authority.certificatePem
  if (access.certificates !== null) {
    const { certFile, keyFile } = access.certificates
    const read = async (): Promise<{ cert: string; key: string }> => ({
      cert: await readFile(certFile, 'utf8'),
      key: await readFile(keyFile, 'utf8'),
    })
    const renew = (server: Server): void => {
      every(async () => server.setSecureContext(await read()))
    }
    const SNICallback = answerNames(authority, new Set([SECRETS_SERVER_NAME]))
    return { tls: { ...(await read()), SNICallback }, ca: null, instanceCa, renew, close }
  }
  const named = access.url === null ? access.host : new URL(access.url).hostname
  const own = nameOf(named)
  // Names of clients are answered where they are ours; an address names nobody (RFC 6066, 3).
  const known = new Set([own, 'localhost', ...config.hostNames, SECRETS_SERVER_NAME])
  return {
    tls: { ...(await authority.files(own)), SNICallback: answerNames(authority, known) },
    ca: authority.certificatePem,
    instanceCa,
    renew: (server) => {
      every(async () => server.setSecureContext(await authority.files(own)))
    },
    close,
  }
}

/** Other names get the certificate of the server's own. */
function answerNames(
  authority: LocalAuthority,
  known: ReadonlySet<string>,
): NonNullable<ServerOptions['SNICallback']> {
  return (name, done) => {
    if (!known.has(name)) done(null)
    else
      authority.context(name).then(
        (context) => done(null, context),
        (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
      )
  }
}

function nameOf(host: string): string {
  const name = host.replace(/^\[(.*)\]$/, '$1')
  return ['127.0.0.1', '::1', '0.0.0.0', '::'].includes(name) ? 'localhost' : name
}
