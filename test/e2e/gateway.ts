import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { stringify } from 'yaml'
import { minimalEnv, run, start } from '../../src/lib/process.ts'
import { inside, type Child } from '../cluster/namespaces.ts'
import type { TestCluster } from '../cluster/test-cluster.ts'
import { gatewayPrograms } from './gateway-programs.ts'
import { freePorts } from './private-platform.ts'
import { eventually } from './probe-app.ts'

const CRDS = resolve(import.meta.dirname, '../cluster/crds/gateway-api-1.6.1.yaml')
/** Contour has its proxy listen at the listener's port and so many more, for that is what it maps to in a container. */
const CONTAINER_PORTS = 8000
const NAMESPACE = 'gateway'
const NAME = 'web'
/** Of the listener: routes for other hosts find none. */
export const GATEWAY_DOMAIN = 'example.test'

/**
 * A real implementation of the Gateway API beside a lab: Contour watches the cluster and tells Envoy, which carries the requests to the
 * pods. Both run on this host, to which the lab routes its pods, and listen on loopback.
 */
export class Gateway {
  /** Where requests come in. */
  readonly address: { readonly host: string; readonly port: number }
  /** `host:port` of what Envoy counts, at `/stats/prometheus`. */
  readonly stats: string
  readonly #cluster: TestCluster
  readonly #folder: string
  readonly #parts: Parts
  readonly #running = new Map<Program, Child>()

  private constructor(cluster: TestCluster, parts: Parts) {
    this.#cluster = cluster
    this.#folder = parts.folder
    this.#parts = parts
    this.address = { host: '127.0.0.1', port: parts.port }
    this.stats = `127.0.0.1:${String(parts.statsPort)}`
  }

  /** Installs the API and a Gateway that takes routes of all namespaces; resolves when it is programmed. */
  static async open(cluster: TestCluster): Promise<Gateway> {
    const folder = await mkdtemp(join(tmpdir(), 'fairway-gateway-'))
    const gateway = new Gateway(cluster, await partsIn(folder, cluster.kubeconfig))
    try {
      await install(cluster, gateway.address.port - CONTAINER_PORTS)
      await gateway.#run('contour')
      await gateway.#run('envoy')
      // It listens for requests only once there is a route.
      const isUp = async (): Promise<boolean> => (await fetch(`http://${gateway.stats}/ready`)).ok
      await eventually(async () => (await isUp()) && (await gateway.#isProgrammed()), {
        withinMs: 120_000,
      })
    } catch (cause) {
      const said = await Promise.all(PROGRAMS.map((name) => lastWords(folder, name)))
      await gateway.stop()
      throw new Error(`the Gateway does not come up\n${said.join('\n')}`, { cause })
    }
    return gateway
  }

  /** Until `wakeController` the proxy goes by what it was told last, and nobody writes of routes. */
  haltController(): void {
    this.#running.get('contour')?.kill('SIGSTOP')
  }

  wakeController(): void {
    this.#running.get('contour')?.kill('SIGCONT')
  }

  /** Gone from this host, and the Gateway from the cluster. */
  async stop(): Promise<void> {
    await Promise.all([...this.#running.values()].map(endOf))
    await this.#cluster.tryKubectl(['delete', 'gatewayclass', 'contour', '--ignore-not-found'])
    await this.#cluster.tryKubectl(['delete', 'namespace', NAMESPACE, '--ignore-not-found'])
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #run(name: Program): Promise<void> {
    const log = await open(join(this.#folder, `${name}.log`), 'a')
    try {
      const [program = '', ...args] = inside(null, ...this.#parts.commands[name])
      const stdio = ['ignore', log.fd, log.fd] as const
      this.#running.set(name, await start(program, args, { env: minimalEnv(), stdio: [...stdio] }))
    } finally {
      await log.close()
    }
  }

  async #isProgrammed(): Promise<boolean> {
    const path = 'jsonpath={.status.conditions[?(@.type=="Programmed")].status}'
    const text = await this.#cluster.kubectl(['get', 'gateway', NAME, '-n', NAMESPACE, '-o', path])
    return text === 'True'
  }
}

// Private

const PROGRAMS = ['contour', 'envoy'] as const
type Program = (typeof PROGRAMS)[number]
type Command = readonly [program: string, args: readonly string[]]

interface Parts {
  readonly folder: string
  readonly commands: Readonly<Record<Program, Command>>
  readonly port: number
  readonly statsPort: number
}

async function partsIn(folder: string, kubeconfig: string): Promise<Parts> {
  const { contour, envoy } = await gatewayPrograms(() => undefined)
  const [port = 0, statsPort = 0, xds = 0, health = 0, debug = 0, admin = 0] = await freePorts(6)
  const [config, bootstrap] = [join(folder, 'contour.yaml'), join(folder, 'envoy.json')]
  const gateway = { gatewayRef: { namespace: NAMESPACE, name: NAME } }
  await writeFile(config, stringify({ gateway, network: { 'admin-port': admin } }))
  const socket = `--admin-address=${join(folder, 'admin.sock')}`
  await run(contour, ['bootstrap', ...at('xds', xds), socket, bootstrap])
  const serve = [
    `--kubeconfig=${kubeconfig}`,
    `--config-path=${config}`,
    '--insecure',
    '--disable-leader-election',
    ...UNUSED.map((feature) => `--disable-feature=${feature}`),
    ...at('xds', xds),
    ...at('envoy-service-http', port),
    ...at('stats', statsPort),
    ...at('health', health),
    ...at('http', health),
    ...at('debug-http', debug),
  ]
  const proxy = [
    // Else only one of the machine's may run under each number.
    '--disable-hot-restart',
    ...['-c', bootstrap, '--service-cluster', 'gateway', '--service-node', 'one'],
    ...['--log-level', 'warning', '--concurrency', '1'],
  ]
  const commands: Parts['commands'] = {
    contour: [contour, ['serve', ...serve]],
    envoy: [envoy, proxy],
  }
  return { folder, port, statsPort, commands }
}

async function endOf(child: Child): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
}

async function lastWords(folder: string, name: Program): Promise<string> {
  const log = await readFile(join(folder, `${name}.log`), 'utf8').catch(String)
  return log.trimEnd().split('\n').slice(-8).join('\n')
}

/** Kinds of the API that nothing here has. */
const UNUSED = ['extensionservices', 'tlsroutes', 'grpcroutes', 'tcproutes', 'backendtlspolicies']

function at(what: string, port: number): readonly string[] {
  return [`--${what}-address=127.0.0.1`, `--${what}-port=${String(port)}`]
}

async function install(cluster: TestCluster, port: number): Promise<void> {
  await cluster.kubectl(['apply', '--server-side', '-f', CRDS])
  const apply = (objects: readonly object[]): Promise<string> =>
    cluster.kubectl(
      ['apply', '-f', '-'],
      objects.map((object) => JSON.stringify(object)).join('\n---\n'),
    )
  await apply(WATCHED.map(standIn))
  await cluster.kubectl(['wait', 'crd', '--all', '--for=condition=Established', '--timeout=120s'])
  await apply(gatewayObjects(port))
}

/** Kinds that Contour insists on watching, though nobody here makes any. */
const WATCHED = [
  ['projectcontour.io', 'HTTPProxy', 'httpproxies', 'v1'],
  ['projectcontour.io', 'TLSCertificateDelegation', 'tlscertificatedelegations', 'v1'],
  ['gateway.networking.k8s.io', 'ReferenceGrant', 'referencegrants', 'v1beta1'],
] as const

function standIn([group, kind, plural, version]: (typeof WATCHED)[number]): object {
  const schema = {
    openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
  }
  const metadata = {
    name: `${plural}.${group}`,
    annotations: { 'api-approved.kubernetes.io': 'unapproved, a stand-in for tests' },
  }
  const names = { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` }
  const versions = [{ name: version, served: true, storage: true, schema }]
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata,
    spec: { group, scope: 'Namespaced', names, versions },
  }
}

function gatewayObjects(port: number): readonly object[] {
  const apiVersion = 'gateway.networking.k8s.io/v1'
  const listener = {
    name: 'http',
    protocol: 'HTTP',
    port,
    hostname: `*.${GATEWAY_DOMAIN}`,
    allowedRoutes: { namespaces: { from: 'All' } },
  }
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } },
    {
      apiVersion,
      kind: 'GatewayClass',
      metadata: { name: 'contour' },
      spec: { controllerName: 'projectcontour.io/gateway-controller' },
    },
    {
      apiVersion,
      kind: 'Gateway',
      metadata: { name: NAME, namespace: NAMESPACE },
      spec: { gatewayClassName: 'contour', listeners: [listener] },
    },
  ]
}
