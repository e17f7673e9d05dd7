import type { FastifyInstance, InjectOptions } from 'fastify'
import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { createApi } from '../../src/api/api.ts'
import type { ApiLimits } from '../../src/api/limits.ts'
import type { RegistryHandler } from '../../src/api/registry-mount.ts'
import { endpointUrl } from '../../src/contract/endpoint.ts'
import { ENDPOINTS, type EndpointName } from '../../src/contract/endpoints.ts'
import { createAccessRules } from '../../src/identity/access-rules.ts'
import { createIdentity, type ClaimableIdentity } from '../../src/identity/identity.ts'
import type { AccessRules } from '../../src/model/access.ts'
import { systemClock } from '../../src/lib/clock.ts'
import type { Log } from '../../src/lib/log.ts'
import { grantOf, PLATFORM, type Role } from '../../src/model/identity.ts'
import type { IdentityStatus } from '../../src/model/workload.ts'
import { FakePlatform, INSTANCE, SECRET } from './fake-platform.ts'
import { MemoryLogin } from './memory-login.ts'
import { MemorySourceStore } from './memory-source-store.ts'
import { MemoryManifests } from './memory-manifests.ts'
import { MemoryAccess } from './memory-access.ts'
import { MemoryNodes } from './memory-nodes.ts'
import { MemoryAudit } from './memory-audit.ts'
import { MemoryTargets } from './memory-targets.ts'
import { MemoryTokenStore } from './memory-token-store.ts'

const IDENTITIES: IdentityStatus = {
  trustDomain: 'example.org',
  svidLifeMs: 3_600_000,
  sequence: 1,
  phase: 'steady',
  next: { step: 'publish', at: 2 },
  roots: [{ id: '0123456789abcdef', createdAt: 1, notAfter: 3, signs: true }],
}

export interface TestApi {
  readonly api: FastifyInstance
  readonly platform: FakePlatform
  readonly sources: MemorySourceStore
  readonly store: MemoryTokenStore
  readonly identity: ClaimableIdentity
  readonly audit: MemoryAudit
  readonly login: MemoryLogin
  readonly access: AccessRules
  readonly tokens: Readonly<Record<Role, string>>
  /** Everything that was logged, as JSON. */
  readonly logged: string[]
  readonly claimCode: string
}

/** The API over fakes, with one token per role. */
export async function createTestApi(
  options: {
    limits?: Partial<ApiLimits>
    registry?: RegistryHandler
    hosts?: readonly string[]
  } = {},
): Promise<TestApi> {
  const platform = new FakePlatform()
  const sources = new MemorySourceStore()
  const store = new MemoryTokenStore()
  const audit = new MemoryAudit()
  const logged: string[] = []
  const identity = createIdentity({ store, clock: systemClock, randomBytes })
  const claimCode = (await identity.openClaim()) ?? ''
  const issue = async (role: Role): Promise<string> =>
    (
      await identity.createToken(PLATFORM, {
        name: role,
        person: role,
        grants: [grantOf(role)],
        expiresAt: null,
      })
    ).token
  const login = new MemoryLogin()
  const access = createAccessRules({
    store,
    rules: identity.rules,
    clock: systemClock,
    randomId: () => randomBytes(6).toString('hex'),
  })
  const api = createApi({
    platform,
    sources,
    identity,
    audit,
    login,
    users: login,
    accessRules: access,
    targets: new MemoryTargets(),
    manifests: new MemoryManifests(),
    nodes: new MemoryNodes(),
    identities: {
      status: () => Promise.resolve(IDENTITIES),
      rotate: () => Promise.resolve(IDENTITIES),
      replace: () => Promise.resolve(IDENTITIES),
    },
    access: new MemoryAccess(),
    installer: {
      install: () =>
        Promise.resolve({ manifests: '', image: 'x@y', active: null, claim: null, notes: [] }),
      uninstall: () => Promise.resolve({ removed: [], stays: [] }),
    },
    registry: options.registry ?? null,
    info: { version: '0.0.0', engine: 'machine', runner: 'process' },
    log: recordingLog(logged),
    ...(options.hosts === undefined ? {} : { hosts: options.hosts }),
    limits: { firstLineMs: 50, ...options.limits },
  })
  const [viewer, developer, operator, admin] = [
    await issue('viewer'),
    await issue('developer'),
    await issue('operator'),
    await issue('admin'),
  ]
  const tokens = { viewer, developer, operator, admin }
  const fakes = { platform, sources, store, audit, login }
  return { api, ...fakes, identity, access, tokens, logged, claimCode }
}

/** Listens on a free port of 127.0.0.1 and returns it. */
export async function listen(api: FastifyInstance): Promise<number> {
  await api.listen({ host: '127.0.0.1', port: 0 })
  const address: AddressInfo | string | null = api.server.address()
  if (address === null || typeof address === 'string') throw new Error('not listening')
  return address.port
}

const PARAMS = {
  app: 'shop',
  environment: 'production',
  rollout: 'r1',
  instance: INSTANCE,
  target: 'prod',
  node: 'node1',
  login: 'a',
  user: 'u1',
  team: 'pay',
  binding: 'none',
}
const DEPLOY = { source: { entries: [] }, appFile: null, image: null }
/** SHA-256 of nothing. */
export const EMPTY = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** A body that each endpoint takes. */
export const BODIES: Partial<Readonly<Record<EndpointName, unknown>>> = {
  claim: { code: 'wrong', name: 'ada' },
  beginLogin: { way: { kind: 'device' }, challenge: 'c'.repeat(43), client: 'ada@laptop' },
  redeemLogin: { verifier: 'v'.repeat(43), code: null },
  changeTeam: { add: ['shop'], remove: [] },
  addBinding: { kind: 'group', name: '/pay', grant: { role: 'viewer' } },
  protectEnvironment: { waitMs: 60_000 },
  judgeRollout: { verdict: 'approve' },
  createToken: { name: 'ci', grants: [{ role: 'viewer' }] },
  putTarget: { kubeconfig: `apiVersion: v1 # ${SECRET}`, context: null, registry: null },
  applyManifests: { files: { 'a.yaml': 'kind: Namespace' }, dryRun: true, prune: false },
  installPlatform: {
    namespace: 'fairway-system',
    database: null,
    hosts: [],
    nodePort: null,
    registryPort: 30500,
    dryRun: true,
  },
  uninstallPlatform: { namespace: 'fairway-system', data: false, dryRun: true },
  drainNode: { timeoutMs: 1000, localData: false },
  adoptObjects: { objects: ['Deployment shop--production/web-a'] },
  issueClusterToken: { environment: null },
  setClusterAccess: { way: 'proxy' },
  missingContents: { digests: [EMPTY] },
  saveSource: { entries: [] },
  planApp: DEPLOY,
  deployApp: DEPLOY,
  rollbackApp: { to: 1 },
  scaleApp: { changes: { web: 2 } },
  setConfig: { changes: { KEY: 'value' } },
  pushSecrets: { documents: [] },
  rotateGenerated: { names: [] },
  runCommand: { process: null, argv: ['true'], timeoutMs: 1000 },
}

/** A request that the endpoint answers with 2xx for whoever may ask. */
export function goodRequest(
  name: EndpointName,
  token: string | null,
  params: Readonly<Record<string, string>> = {},
): InjectOptions {
  const { method, path, body } = ENDPOINTS[name]
  const url = endpointUrl({ path }, { ...PARAMS, digest: EMPTY, token: 'none', ...params })
  const authorization = token === null ? {} : { authorization: `Bearer ${token}` }
  if (body === null) return { method, url, headers: authorization }
  if (body === 'application/octet-stream') {
    return {
      method,
      url,
      headers: { ...authorization, 'content-type': body, 'content-length': '0' },
      payload: '',
    }
  }
  return { method, url, headers: authorization, payload: BODIES[name] ?? {} }
}

function recordingLog(logged: string[]): Log {
  const write = (fields: Readonly<Record<string, unknown>>, message: string): void => {
    const text = JSON.stringify(fields, (_, value: unknown) =>
      value instanceof Error ? `${value.name} ${value.message}` : value,
    )
    logged.push(`${message} ${text}`)
  }
  return { debug: write, info: write, warn: write, error: write }
}
