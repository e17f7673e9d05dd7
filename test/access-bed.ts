import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createApi } from '../src/api/api.ts'
import { openAccess, type OpenAccess } from '../src/bin/open-access.ts'
import { createAccessRules } from '../src/identity/access-rules.ts'
import { createIdentity, type ClaimableIdentity } from '../src/identity/identity.ts'
import { KubernetesClusters } from '../src/kubernetes/clusters.ts'
import { namespaceOf } from '../src/kubernetes/labels.ts'
import { toYaml } from '../src/kubernetes/object.ts'
import { planBase } from '../src/kubernetes/plan-base.ts'
import { systemClock } from '../src/lib/clock.ts'
import { silentLog, type Log } from '../src/lib/log.ts'
import { minimalEnv, runToEnd, type RunResult } from '../src/lib/process.ts'
import type { AccessRules } from '../src/model/access.ts'
import { credentialName, type KubeAccess } from '../src/model/kube-access.ts'
import { EVERYTHING, type Grant, type Subject } from '../src/model/identity.ts'
import {
  parseAppName,
  parseEnvironmentName,
  parseTargetName,
  type AppRef,
} from '../src/model/names.ts'
import { openSqliteStore } from '../src/store/sqlite-store.ts'
import { BUSYBOX_IMAGE, writeBusyboxImage } from './cluster/busybox-image.ts'
import type { TestCluster } from './cluster/test-cluster.ts'
import { settingsWith } from './fakes/cluster-plan.ts'
import { FakePlatform } from './fakes/fake-platform.ts'
import { MemoryAudit } from './fakes/memory-audit.ts'
import { MemoryLogin } from './fakes/memory-login.ts'
import { MemoryManifests } from './fakes/memory-manifests.ts'
import { MemoryNodes } from './fakes/memory-nodes.ts'
import { MemorySourceStore } from './fakes/memory-source-store.ts'
import { MemoryTargets } from './fakes/memory-targets.ts'
import { freshOwner } from './kubernetes-bed.ts'

export const PROD = parseTargetName('prod')
export const FAIRWAY = resolve(import.meta.dirname, '../bin/fairway')

export interface AccessBedOptions {
  /** Where the listener for clusters listens; default loopback. */
  readonly host?: string
}

interface Parts {
  readonly identity: ClaimableIdentity
  readonly rules: AccessRules
  readonly opened: OpenAccess
}

/** Real API, real listener, real store and real CLI beside a real cluster, with two apps: `mine` and `theirs`. */
export class AccessBed {
  readonly cluster: TestCluster
  readonly owner = freshOwner()
  readonly logged: Readonly<Record<string, unknown>>[] = []
  readonly #folder: string
  #issued = 0
  readonly #ends: (() => Promise<unknown>)[] = []
  #parts: Parts | null = null
  url = ''

  private constructor(cluster: TestCluster, folder: string) {
    this.cluster = cluster
    this.#folder = folder
  }

  static async open(cluster: TestCluster, options: AccessBedOptions = {}): Promise<AccessBed> {
    const folder = await mkdtemp(join(tmpdir(), 'fairway-access-'))
    const bed = new AccessBed(cluster, folder)
    try {
      await bed.#start(options)
      return bed
    } catch (error) {
      await bed.close()
      throw error
    }
  }

  get identity(): ClaimableIdentity {
    return this.#ready().identity
  }

  get opened(): OpenAccess {
    return this.#ready().opened
  }

  #ready(): Parts {
    if (this.#parts === null) throw new Error('not open')
    return this.#parts
  }

  ref(app: 'mine' | 'theirs'): AppRef {
    return {
      app: parseAppName(`${app}-${this.owner}`),
      environment: parseEnvironmentName('production'),
    }
  }

  namespace(app: 'mine' | 'theirs'): string {
    return namespaceOf(this.ref(app))
  }

  /** A token with these grants, and its id. */
  async person(
    name: string,
    grants: readonly Grant[],
  ): Promise<{ readonly token: string; readonly id: string }> {
    const admin = { id: 'a', name: 'a', kind: 'user', groups: [], grants: [EVERYTHING] } as const
    const wanted = { name, person: null, grants, expiresAt: null }
    const { token, view } = await this.identity.createToken(admin, wanted)
    return { token, id: view.id }
  }

  grant(app: 'mine' | 'theirs', role: Grant['role']): Grant {
    return { role, app: this.ref(app).app, environment: null, team: null, actions: null }
  }

  env(token: string): Record<string, string> {
    return { ...minimalEnv(), HOME: join(this.#folder, token.slice(0, 16)), FAIRWAY_TOKEN: token }
  }

  fairway(token: string, args: readonly string[]): Promise<RunResult> {
    return runToEnd(FAIRWAY, [...args, '--server', this.url], { env: this.env(token) })
  }

  /** Path of a kubeconfig as `fairway kubeconfig` prints it. */
  async kubeconfig(token: string, args: readonly string[] = []): Promise<string> {
    const words = ['kubeconfig', '--command', FAIRWAY, ...args]
    const { code, stdout, stderr } = await this.fairway(token, words)
    if (code !== 0) throw new Error(stderr)
    const path = join(this.#folder, `config-${randomBytes(4).toString('hex')}`)
    await writeFile(path, stdout, { mode: 0o600 })
    return path
  }

  /** The person's own kubectl. */
  kubectl(
    token: string,
    config: string,
    args: readonly string[],
    options: {
      readonly input?: string
      readonly timeoutMs?: number
      readonly env?: Readonly<Record<string, string>>
    } = {},
  ): Promise<RunResult> {
    const { input = '', timeoutMs = 120_000, env = {} } = options
    const words = ['--kubeconfig', config, ...args]
    return runToEnd(this.cluster.program, words, {
      env: { ...this.env(token), ...env },
      input,
      timeoutMs,
    })
  }

  async revoke(id: string): Promise<void> {
    const admin = { id: 'a', name: 'a', kind: 'user', groups: [], grants: [EVERYTHING] } as const
    await this.identity.revokeToken(admin, id)
  }

  /** How many tokens for clusters were made since. */
  countTokens(): () => number {
    const before = this.#issued
    return () => this.#issued - before
  }

  async issueArguments(token: string): Promise<[Subject, string]> {
    const subject = await this.identity.authenticate(token)
    if (subject === null) throw new Error('not a token')
    return [subject, credentialName(token) ?? '']
  }

  /** Status of a request to the listener for clusters, whose path is sent as it is. */
  status(
    token: string,
    path: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<number> {
    const authorization = token === '' ? {} : { authorization: `Bearer ${token}` }
    return new Promise((resolve, reject) => {
      const { port } = new URL(String(this.opened.access.discovery()['issuer']))
      const asked = request(
        {
          host: '127.0.0.1',
          port,
          path,
          headers: { ...authorization, ...headers },
          rejectUnauthorized: false,
          agent: false,
        },
        (response) => {
          response.resume()
          resolve(response.statusCode ?? 0)
        },
      )
      asked.on('error', reject)
      asked.end()
    })
  }

  /** Namespaces as the engine makes them, and in each a pod that counts, serves and can be entered. */
  async #fill(): Promise<void> {
    const archive = join(this.#folder, 'busybox.tar')
    await writeBusyboxImage(archive)
    await this.cluster.lab?.importImage(archive)
    for (const app of ['mine', 'theirs'] as const) {
      const base = planBase(this.ref(app), [], settingsWith({ owner: this.owner }))
      await this.cluster.kubectl(['apply', '-f', '-'], toYaml(base))
      await this.cluster.kubectl(['apply', '-f', '-'], podText(this.namespace(app)))
    }
    for (const app of ['mine', 'theirs'] as const) {
      const ready = ['wait', '--for=condition=Ready', 'pod/web', '--timeout=300s']
      await this.cluster.kubectl([...ready, '-n', this.namespace(app)])
    }
  }

  async #start({ host = '127.0.0.1' }: AccessBedOptions): Promise<void> {
    await this.#fill()
    const store = await openSqliteStore({ path: join(this.#folder, 'db'), clock: systemClock })
    this.#ends.push(() => store.close())
    await store.putTarget({
      name: PROD,
      kubeconfig: await readFile(this.cluster.kubeconfig, 'utf8'),
      context: null,
      settings: {},
      createdAt: 0,
    })
    for (const app of ['mine', 'theirs'] as const) await store.ensureApp(this.ref(app), 0)
    const identity = createIdentity({ store, clock: systemClock, randomBytes })
    const clusters = new KubernetesClusters({
      owner: this.owner,
      imageOf: () => () => '',
      pullSecret: () => null,
      defaultHost: () => '',
      fingerprint: (text) => text,
      metrics: () => null,
      fetch: globalThis.fetch,
      clock: systemClock,
      random: Math.random,
      logOf: () => silentLog,
    })
    const opened = await openAccess({
      config: {
        access: { host, port: 0, url: null, authority: null, certificates: null },
        hostNames: [],
      },
      folder: join(this.#folder, 'tls'),
      store,
      identity,
      sessions: { recall: () => Promise.resolve(null) },
      clock: systemClock,
      log: this.#log(),
      audit: new MemoryAudit(),
      owner: () => Promise.resolve(this.owner),
      doors: (target) => clusters.door(target),
      targetOf: () => Promise.resolve(PROD),
    })
    const rules = createAccessRules({
      store,
      rules: identity.rules,
      clock: systemClock,
      randomId: () => randomBytes(6).toString('hex'),
    })
    this.#parts = { identity, rules, opened }
    this.#ends.push(() => opened.close())
    await this.#serve()
  }

  async #serve(): Promise<void> {
    const login = new MemoryLogin()
    const api = createApi({
      platform: new FakePlatform(),
      sources: new MemorySourceStore(),
      identity: this.identity,
      targets: new MemoryTargets(),
      manifests: new MemoryManifests(),
      nodes: new MemoryNodes(),
      audit: new MemoryAudit(),
      identities: {
        status: () => Promise.reject(new Error('nobody asks')),
        rotate: () => Promise.reject(new Error('nobody asks')),
        replace: () => Promise.reject(new Error('nobody asks')),
      },
      login,
      users: login,
      access: this.#counted(),
      accessRules: this.#ready().rules,
      installer: {
        install: () => Promise.reject(new Error('nobody installs')),
        uninstall: () => Promise.reject(new Error('nobody uninstalls')),
      },
      registry: null,
      info: { version: '0', engine: 'machine', runner: 'process' },
      log: silentLog,
    })
    await api.listen({ host: '127.0.0.1', port: 0 })
    this.#ends.push(() => api.close())
    const address: AddressInfo | string | null = api.server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    this.url = `http://127.0.0.1:${String(port)}`
  }

  #counted(): KubeAccess {
    const { access } = this.opened
    return {
      list: (...all) => access.list(...all),
      issue: (...all) => {
        this.#issued += 1
        return access.issue(...all)
      },
      setWay: (...all) => access.setWay(...all),
      files: (...all) => access.files(...all),
      replaceKey: () => access.replaceKey(),
    }
  }

  #log(): Log {
    const write = (fields: Readonly<Record<string, unknown>>): void => {
      this.logged.push(fields)
    }
    return { debug: write, info: write, warn: write, error: write }
  }

  async close(): Promise<void> {
    for (const end of this.#ends.reverse()) await end().catch(() => undefined)
    const name = `${this.owner}-access`
    const kinds = 'namespace,clusterrole,clusterrolebinding'
    await this.cluster.tryKubectl(['delete', kinds, '-l', `fairway/access=${this.owner}`])
    await this.cluster.tryKubectl(['delete', 'namespace', name, '--ignore-not-found'])
    const mine = `fairway/owner=${this.owner}`
    await this.cluster.tryKubectl(['delete', 'namespace', '-l', mine, '--wait=false'])
    await rm(this.#folder, { recursive: true, force: true })
  }
}

function podText(namespace: string): string {
  const script =
    'n=0; echo hello > /www/index.html; httpd -p 8080 -h /www; while true; do echo line $n; n=$((n+1)); sleep 1; done'
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', namespace },
    spec: {
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65532,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [
        {
          name: 'web',
          image: BUSYBOX_IMAGE,
          imagePullPolicy: 'IfNotPresent',
          command: ['/bin/sh', '-c', script],
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          volumeMounts: [{ name: 'www', mountPath: '/www' }],
        },
      ],
      volumes: [{ name: 'www', emptyDir: {} }],
    },
  })
}
