import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from '../e2e/private-platform.ts'
import { ApiClient } from './api-client.ts'
import { build, BUILDS, cacheFolder } from './builds.ts'
import { Authority, kubeconfig } from './certificates.ts'
import { Component } from './component.ts'
import { controlPlane, serverOf, writeControlPlaneFiles, type Place } from './control-plane.ts'
import { clusterOf, type TestCluster } from './test-cluster.ts'
import { waitUntil } from './wait.ts'

/** Without nodes little has to be kept going: the roles `view`, `edit` and `admin` are put together by one, namespaces emptied by the other. */
const CONTROLLERS = 'clusterrole-aggregation-controller,namespace-controller'
/** Nobody asks it anything, and its usual port is that of every other one on this host. */
const CONTROLLER_MANAGER = [`--controllers=${CONTROLLERS}`, '--secure-port=0']
const API_SERVER = 'kube-apiserver'

/** etcd, API server and two controllers on loopback of this host, for suites about the API server itself: its flags can be changed. */
export class LoneApiServer {
  readonly cluster: TestCluster
  readonly #folder: string
  readonly #place: Place
  readonly #programs: string
  readonly #client: ApiClient
  readonly #components = new Map<string, Component>()

  private constructor(
    folder: string,
    parts: { readonly place: Place; readonly programs: string; readonly client: ApiClient },
  ) {
    this.#folder = folder
    this.#place = parts.place
    this.#programs = parts.programs
    this.#client = parts.client
    const kubectl = join(parts.programs, 'kubectl')
    this.cluster = clusterOf(join(folder, 'kubeconfig'), kubectl, null)
  }

  /** Ready to be asked. */
  static async open(): Promise<LoneApiServer> {
    const { folder: programs } = await build(
      BUILDS.kubernetes,
      cacheFolder(process.env),
      () => undefined,
    )
    const folder = await mkdtemp(join(tmpdir(), 'fairway-api-server-'))
    const place = await placeOn(folder)
    const authority = await Authority.create('fairway-api-server')
    const client = await writeControlPlaneFiles(folder, place, authority)
    const server = serverOf(place)
    const config = kubeconfig(server, authority, client)
    await writeFile(join(folder, 'kubeconfig'), config, { mode: 0o600 })
    const api = new ApiClient({ server, authority: authority.certificate, client })
    const lone = new LoneApiServer(folder, { place, programs, client: api })
    try {
      await lone.#start()
      return lone
    } catch (error) {
      await lone.close()
      throw error
    }
  }

  /** Starts the API server again, with these flags beside its own; it keeps nothing itself, so it is simply killed. */
  async restart(flags: readonly string[]): Promise<void> {
    await this.stop()
    await this.#launch(API_SERVER, flags)
  }

  /** Nobody answers until `restart`. */
  async stop(): Promise<void> {
    await this.#components.get(API_SERVER)?.stop('SIGKILL')
  }

  /** What the API server logged. */
  log(): Promise<string> {
    return readFile(join(this.#folder, `${API_SERVER}.log`), 'utf8')
  }

  async close(): Promise<void> {
    this.#client.close()
    for (const component of [...this.#components.values()].reverse())
      await component.stop('SIGKILL')
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }

  async #start(): Promise<void> {
    for (const name of ['etcd', API_SERVER, 'kube-controller-manager']) await this.#launch(name, [])
    const role = '/apis/rbac.authorization.k8s.io/v1/clusterroles/view'
    await waitUntil('the role view says something', 180_000, async () =>
      JSON.stringify(await this.#client.call('GET', role)).includes('"verbs"'),
    )
  }

  async #launch(name: string, apiServer: readonly string[]): Promise<void> {
    const options = { programs: this.#programs, apiServer, controllerManager: CONTROLLER_MANAGER }
    const wanted = controlPlane(this.#place, options).find((one) => one.name === name)
    if (wanted === undefined) throw new Error(`the control plane has no ${name}`)
    const logFile = join(this.#folder, `${name}.log`)
    const component = new Component({ ...wanted, within: null, logFile })
    this.#components.set(name, component)
    await component.start()
    if (name !== API_SERVER) return
    try {
      await waitUntil('API server ready', 180_000, () => this.#client.isReady())
    } catch (error) {
      throw new Error((await this.log()).slice(-2000), { cause: error })
    }
  }
}

async function placeOn(folder: string): Promise<Place> {
  await mkdir(join(folder, 'etcd'), { mode: 0o700 })
  const [port = 0, client = 0, peer = 0] = await freePorts(3)
  return {
    folder,
    etcdPorts: [client, peer],
    bind: '127.0.0.1',
    port,
    address: '127.0.0.1',
    // Nothing is routed to these: no pod runs.
    addresses: { services: '10.96.0.0/24', apiService: '10.96.0.1', pods: '10.97.0.0/16' },
  }
}
