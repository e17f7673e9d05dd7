/** Access of people to clusters: its listener with its certificates, put together from its parts. Loaded only where there are targets. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Server } from 'node:https'
import { createAccessServer, type AccessEvent } from '../api/access-server.ts'
import { AccessKeys } from '../identity/access-keys.ts'
import { AccessTokens } from '../identity/access-token.ts'
import type { ClaimableIdentity } from '../identity/identity.ts'
import { createRecall } from '../identity/recall.ts'
import { namespaceOf } from '../kubernetes/labels.ts'
import type { Log } from '../lib/log.ts'
import { NOBODY, type Audit, type AuditActor } from '../model/audit.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { InstanceIdentities } from '../model/instance-identity.ts'
import type { InstanceSecrets } from '../model/instance-secrets.ts'
import type { SessionRecall } from '../model/login.ts'
import type { AppRef, TargetName } from '../model/names.ts'
import type { Store } from '../model/store.ts'
import type { DoorMaker } from '../reconcile/access-doors.ts'
import { TargetAccess, type AccessListener } from '../reconcile/target-access.ts'
import { openAccessCertificates } from './access-certificates.ts'
import type { AccessConfig, Config } from './config.ts'
import type { AccessPoint } from './pod-door.ts'

export interface AccessOptions {
  readonly config: Pick<Config, 'access' | 'hostNames'>
  /** Where its certificate authority is kept. */
  readonly folder: string
  readonly store: Store
  readonly identity: ClaimableIdentity
  readonly sessions: SessionRecall
  readonly clock: Clock
  readonly log: Log
  readonly audit: Pick<Audit, 'note'>
  readonly owner: () => Promise<string>
  readonly doors: DoorMaker
  readonly targetOf: (ref: AppRef) => Promise<TargetName | null | undefined>
  /** Values and identities for instances on clusters; absent = none. */
  readonly secrets?: InstanceSecrets
  readonly identities?: InstanceIdentities
}

export interface OpenAccess {
  readonly access: TargetAccess
  /** Where instances of clusters find it; null where it does not listen. */
  readonly point: AccessPoint | null
  close(): Promise<void>
}

/** Listens where it can; where it cannot, the rest of the server goes on and access says so. */
export async function openAccess(options: AccessOptions): Promise<OpenAccess> {
  const { config, log } = options
  let listener: AccessListener | null = null
  let point: AccessPoint | null = null
  const access = await createAccess(options, () => listener)
  if (config.access === null) return { access, point: null, close: () => access.close() }
  const certificates = await openAccessCertificates({ ...options, access: config.access })
  const { server, close } = createAccessServer({
    gate: access,
    tls: certificates.tls,
    clock: options.clock,
    log,
    ...(options.secrets === undefined ? {} : { secrets: options.secrets }),
    ...(options.identities === undefined ? {} : { identities: options.identities }),
    record: (event) => {
      tell(options, event)
    },
  })
  certificates.renew(server)
  try {
    const { port } = await listen(server, config.access)
    point = { port, ca: certificates.instanceCa }
    listener = { url: config.access.url ?? urlOf(config.access.host, port), ca: certificates.ca }
    log.info({ url: listener.url }, 'listens for access to clusters')
  } catch (error) {
    log.error({ error: String(error), access: config.access }, 'cannot listen for cluster access')
  }
  return {
    access,
    point,
    close: async () => {
      certificates.close()
      if (listener !== null) await close()
      await access.close()
    },
  }
}

// Private

async function createAccess(
  { store, identity, sessions, clock, doors, targetOf, owner }: AccessOptions,
  listener: () => AccessListener | null,
): Promise<TargetAccess> {
  const keys = new AccessKeys({ store, clock })
  const tokens = new AccessTokens({
    keys,
    clock,
    issuer: () => {
      const { url } = listener() ?? {}
      if (url !== undefined) return url
      throw new FairwayError('RUNNER_UNAVAILABLE', 'this server does not listen for cluster access')
    },
    randomId: () => randomBytes(12).toString('hex'),
  })
  return new TargetAccess({
    store,
    clock,
    doors,
    listener,
    namespaceOf,
    targetOf,
    owner: await owner(),
    signer: {
      sign: (claims, audience) => tokens.sign(claims, audience),
      verify: (token, audience) => tokens.verify(token, audience),
      keys: async () => ({ ...(await keys.published()) }),
      replaceKey: () => keys.replace(),
    },
    roleIn: (subject, { app, environment }) => identity.roleIn(subject, { app }, environment),
    may: (subject, action, { app, environment }) =>
      identity.decide(subject, action, { app }, environment).allowed,
    recall: createRecall({ store, sessions, clock, rules: identity.rules }),
    randomSecret: () => randomBytes(32).toString('base64url'),
  })
}

async function listen(server: Server, { host, port }: AccessConfig): Promise<{ port: number }> {
  server.listen({ host, port })
  await once(server, 'listening')
  const address = server.address()
  return { port: typeof address === 'object' && address !== null ? address.port : port }
}

/** Whoever listens on every address or on loopback is called by the name that their certificate has. */
function urlOf(host: string, port: number): string {
  const isLocal = ['127.0.0.1', '::1', '0.0.0.0', '::', 'localhost'].includes(host)
  const name = isLocal ? 'localhost' : host.includes(':') ? `[${host}]` : host
  return `https://${name}:${String(port)}`
}

function tell({ log, audit }: AccessOptions, event: AccessEvent): void {
  const { admission, target, method, path, isStream, status, refused } = event
  const fields = {
    by: admission?.user.name ?? null,
    target,
    method,
    path,
    stream: isStream,
    status,
    ...(refused === null ? {} : { refused }),
  }
  const isQuiet = refused === null && !isStream && (method === 'GET' || method === 'HEAD')
  if (isQuiet) {
    log.debug(fields, 'cluster request')
    return
  }
  log.info(fields, 'cluster request')
  void audit.note({
    actor: actorOf(event),
    action: 'kube:access',
    outcome: refused !== null || status === 403 ? 'denied' : 'allowed',
    app: null,
    environment: null,
    target: `target ${target}`,
    reason: refused,
    facts: { method, path, status, stream: isStream },
  })
}

function actorOf({ admission }: AccessEvent): AuditActor {
  if (admission === null) return NOBODY
  const { kind, id, name } = admission.subject
  return { kind, id, name }
}
