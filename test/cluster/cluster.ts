import { mkdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { z } from 'zod'
import { run } from '../../src/lib/process.ts'
import { addons } from './addons.ts'
import {
  addressesOf,
  MAX_LABS,
  MAX_NODES,
  nodeAddresses,
  REGISTRY_PORT,
  type Addresses,
} from './addresses.ts'
import { ApiClient } from './api-client.ts'
import { Authority, kubeconfig } from './certificates.ts'
import { Cgroup } from './cgroup.ts'
import { Component } from './component.ts'
import {
  controlPlane,
  INSIDE,
  placeInLab,
  serverOf,
  writeControlPlaneFiles,
  type Program,
} from './control-plane.ts'
import { type LabFolder, type LabSettings, type NodeRecord } from './lab-folder.ts'
import {
  NETWORK_SETTINGS,
  startHolder,
  runInNetwork,
  runInside,
  type Holder,
} from './namespaces.ts'
import { importOnNode } from './node-image.ts'
import { makeNode, nodePrograms, writeRegistryHosts, type NodeOptions } from './node.ts'
import { PolicyEnforcer } from './policy-enforcer.ts'
import { RegistryForward } from './registry-forward.ts'
import { Volumes } from './volumes.ts'
import { waitUntil } from './wait.ts'

const nodeList = z.object({ items: z.array(z.unknown()) })

const PROCESSES = 8192
/** Of the lab's memory, what the control plane keeps for itself. */
const CONTROL_PLANE_BYTES = 1 << 30

/** The running parts of a lab. It lives in the supervisor: when that ends, all of it ends. */
export class Cluster {
  readonly addresses: Addresses
  readonly registry: RegistryForward
  readonly #folder: LabFolder
  readonly #settings: LabSettings
  readonly #holder: Holder
  readonly #authority: Authority
  readonly #controllers: { stop(): void }[] = []
  #api: ApiClient | null = null
  readonly #nodes = new Map<string, { readonly record: NodeRecord; readonly holder: Holder }>()
  readonly #components = new Map<string, Component>()

  private constructor(
    folder: LabFolder,
    settings: LabSettings,
    parts: { addresses: Addresses; holder: Holder; authority: Authority },
  ) {
    this.#folder = folder
    this.#settings = settings
    this.addresses = parts.addresses
    this.#holder = parts.holder
    this.#authority = parts.authority
    this.registry = new RegistryForward(settings.registry)
  }

  /** Namespaces, cgroup, mounts and the link to the host; no program of Kubernetes runs yet. */
  static async open(folder: LabFolder, settings: LabSettings): Promise<Cluster> {
    const cgroup = await Cgroup.at(folder.cgroup)
    await cgroup.make()
    await cgroup.limit(settings.memory, PROCESSES)
    const own = cgroup.child('control')
    await own.make()
    await own.enter(process.pid)
    const holder = await startHolder(null)
    await mountLab(holder.pid, folder, settings)
    const addresses = await linkLab(holder.pid)
    const authority = await Authority.create('fairway-lab')
    return new Cluster(folder, settings, { addresses, holder, authority })
  }

  /** URL of the API server. */
  get server(): string {
    return serverOf(placeInLab(this.addresses))
  }

  get holder(): Holder {
    return this.#holder
  }

  get nodes(): readonly NodeRecord[] {
    const records = [...this.#nodes.values()].map(({ record }) => record)
    return records.sort((a, b) => a.address.localeCompare(b.address))
  }

  get components(): ReadonlyMap<string, Component> {
    return this.#components
  }

  /** etcd, API server, controllers and scheduler; ends when the API server says it is ready. */
  async startControlPlane(): Promise<void> {
    const { path } = this.#folder
    const place = placeInLab(this.addresses)
    const { server } = this
    const client = await writeControlPlaneFiles(path, place, this.#authority)
    const config = kubeconfig(server, this.#authority, client)
    await writeFile(this.#folder.at('kubeconfig'), config, { mode: 0o600 })
    this.#api = new ApiClient({ server, authority: this.#authority.certificate, client })
    for (const program of controlPlane(place, { programs: this.#programs() })) {
      await this.#start(program, this.#holder.pid)
      if (program.name !== 'kube-apiserver') continue
      await waitUntil('API server ready', 300_000, () => this.#client().isReady())
    }
  }

  async startNodes(): Promise<void> {
    const { host } = this.addresses
    await writeRegistryHosts(this.#folder.path, this.addresses)
    await this.registry.listen(host, REGISTRY_PORT)
    const numbers = Array.from({ length: this.#settings.nodes }, (_, at) => at + 1)
    await Promise.all(numbers.map((number) => this.#startNode(number)))
    await this.#routeServices()
  }

  /**
   * @param name a component, or a node: `kill` of that is the machine losing its power, `start` gives it back (or adds one), with its disk
   * @throws Error naming what there is
   */
  async command(name: string, action: 'stop' | 'start' | 'restart' | 'kill'): Promise<void> {
    const number = Number(/^node([1-9][0-9]?)$/.exec(name)?.[1] ?? 0)
    if (number > 0 && number <= MAX_NODES) {
      if (action !== 'start') await this.#endNode(name)
      if (action === 'start' || action === 'restart') await this.#startNode(number)
      return this.#routeServices()
    }
    const component = this.#components.get(name)
    if (component === undefined) {
      const names = [...this.#components.keys(), ...this.#nodes.keys()]
      throw new Error(`no component ${name}; there are ${names.join(', ')}`)
    }
    if (action === 'kill') await component.stop('SIGKILL')
    else await component[action]()
  }

  async installAddons(): Promise<void> {
    const { coredns = '', metricsServer = '' } = this.#settings.images
    const items = addons(this.addresses, {
      coredns: referenceOf(coredns),
      metricsServer: referenceOf(metricsServer),
    })
    const list = { apiVersion: 'v1', kind: 'List', items }
    const args = ['apply', '--server-side', '--field-manager=lab', '-f', '-']
    await this.#kubectl(args, JSON.stringify(list))
  }

  async waitUntilReady(): Promise<void> {
    const count = this.#settings.nodes
    await waitUntil(`${String(count)} nodes registered`, 180_000, async () => {
      const { items } = nodeList.parse(await this.#client().call('GET', '/api/v1/nodes'))
      return items.length >= count
    })
    const wait = ['wait', '--timeout=300s']
    await this.#kubectl([...wait, '--for=condition=Ready', 'node', '--all'])
    const deployments = ['deployment/coredns', 'deployment/metrics-server']
    const available = [...wait, '--for=condition=Available']
    await this.#kubectl([...available, '-n', 'kube-system', ...deployments])
    await this.#kubectl([...available, 'apiservice/v1beta1.metrics.k8s.io'])
  }

  /** Our own parts: what enforces NetworkPolicy, and what makes volumes. */
  startControllers(failed: (error: unknown) => void): void {
    const policies = new PolicyEnforcer(this.#client(), () => this.nodes, failed)
    const volumes = new Volumes(this.#client(), this.#folder.path, failed)
    policies.start()
    volumes.start()
    this.#controllers.push(policies, volumes)
  }

  /** Ends the namespaces, and with them every process. */
  async close(): Promise<void> {
    await this.registry.close()
    for (const controller of this.#controllers) controller.stop()
    this.#api?.close()
    for (const component of this.#components.values()) component.abandon()
    await this.#holder.end()
  }

  async #startNode(number: number): Promise<void> {
    const node = nodeAddresses(this.addresses.index, number)
    if (this.#nodes.has(node.name)) return
    const cgroup = (await Cgroup.at(this.#folder.cgroup)).child(node.name)
    await cgroup.make()
    const options: NodeOptions = {
      addresses: this.addresses,
      node,
      folder: this.#folder.path,
      authority: this.#authority,
      cgroup: cgroup.path,
      memory: Math.floor((this.#settings.memory - CONTROL_PLANE_BYTES) / this.#settings.nodes),
      lab: this.#holder.pid,
    }
    const holder = await makeNode(options)
    const { pid } = holder
    const [containerd, ...others] = nodePrograms(options, this.#programs())
    if (containerd !== undefined) await this.#start(containerd, pid)
    await waitUntil(`${node.name}: containerd answers`, 90_000, () => answers(pid))
    for (const archive of Object.values(this.#settings.images)) await importOnNode(pid, archive)
    for (const program of others) await this.#start(program, pid)
    const record = { name: node.name, address: node.address, pid }
    this.#nodes.set(node.name, { record, holder })
  }

  async #endNode(name: string): Promise<void> {
    const node = this.#nodes.get(name)
    if (node === undefined) throw new Error(`${name} does not run`)
    this.#nodes.delete(name)
    for (const [key, component] of this.#components) {
      if (!key.startsWith(`${name}/`)) continue
      component.abandon()
      this.#components.delete(key)
    }
    await node.holder.end()
  }

  /** Services are answered by the kube-proxy of the first node, for the lab and the host. */
  async #routeServices(): Promise<void> {
    const [first] = this.nodes
    if (first === undefined) return
    const route = ['route', 'replace', this.addresses.services, 'via', first.address]
    await runInNetwork(this.#holder.pid, 'ip', ...route)
  }

  async #start({ name, program, args }: Program, within: number): Promise<void> {
    const logFile = this.#folder.at('logs', `${name.replace('/', '-')}.log`)
    const component = new Component({ name, within, program, args, logFile })
    this.#components.set(name, component)
    await component.start()
  }

  #client(): ApiClient {
    if (this.#api === null) throw new Error('the control plane was not started')
    return this.#api
  }

  #programs(): string {
    return `${INSIDE.cache}/${basename(this.#settings.kubernetes)}`
  }

  #kubectl(args: readonly string[], input = ''): Promise<string> {
    const config = ['--kubeconfig', this.#folder.at('kubeconfig')]
    const cacheDir = ['--cache-dir', this.#folder.at('kubectl-cache')]
    const program = join(this.#settings.kubernetes, 'kubectl')
    return run(program, [...config, ...cacheDir, ...args], { input })
  }
}

/** Archives are kept as `<name>-<version>.tar` and hold `fairway.test/<name>:<version>`. */
export function referenceOf(archive: string): string {
  const [, name = '', version = ''] = /^(.*)-([0-9][^-]*)\.tar$/.exec(basename(archive)) ?? []
  return `fairway.test/${name}:${version}`
}

async function mountLab(pid: number, folder: LabFolder, settings: LabSettings): Promise<void> {
  for (const part of ['tmp', 'lib', 'logs', 'certs.d', 'nodes', 'etcd']) {
    await mkdir(folder.at(part), { recursive: true, mode: 0o755 })
  }
  const mount = (...args: string[]): Promise<string> => runInside(pid, 'mount', ...args)
  await mount('-t', 'tmpfs', '-o', 'mode=755', 'lab', '/mnt')
  await runInside(pid, 'mkdir', INSIDE.lab, INSIDE.cache)
  await mount('--bind', folder.path, INSIDE.lab)
  await mount('--bind', settings.cache, INSIDE.cache)
  await mount('-t', 'tmpfs', '-o', 'mode=755', 'run', '/run')
  await mount('--bind', `${INSIDE.lab}/lib`, '/var/lib')
  await mount('--bind', `${INSIDE.lab}/tmp`, '/tmp')
}

/** The lab's bridge and the one link to the host, of the first addresses that are free. */
async function linkLab(pid: number): Promise<Addresses> {
  const inLab = (...args: string[]): Promise<string> => runInNetwork(pid, 'ip', ...args)
  await inLab('link', 'set', 'lo', 'up')
  await inLab('link', 'add', 'br0', 'type', 'bridge')
  const addresses = await takeAddresses(pid)
  const { device, host, controlPlane: gateway, services, pods, hardware } = addresses
  // Unless told, a bridge takes the lowest address of its ports, and is lost to its neighbours when a node comes or goes.
  await inLab('link', 'set', 'br0', 'address', hardware)
  await inLab('link', 'set', 'up0', 'master', 'br0', 'up')
  await inLab('address', 'add', `${gateway}/24`, 'dev', 'br0')
  await inLab('link', 'set', 'br0', 'up')
  await runInNetwork(pid, 'sysctl', '-qw', ...NETWORK_SETTINGS)
  await run('ip', ['address', 'add', `${host}/24`, 'dev', device])
  await run('ip', ['link', 'set', device, 'up'])
  for (const subnet of [services, pods]) await run('ip', ['route', 'add', subnet, 'via', gateway])
  return addresses
}

async function takeAddresses(pid: number): Promise<Addresses> {
  for (let index = 0; index < MAX_LABS; index++) {
    const addresses = addressesOf(index)
    const peer = ['peer', 'name', 'up0', 'netns', String(pid)]
    try {
      // Fails where another lab has the name: this is how labs agree.
      await run('ip', ['link', 'add', addresses.device, 'type', 'veth', ...peer])
      return addresses
    } catch (error) {
      if (!String(error).includes('File exists')) throw error
    }
  }
  throw new Error(`${String(MAX_LABS)} labs run already`)
}

async function answers(pid: number): Promise<boolean> {
  try {
    await runInside(pid, 'ctr', '-a', '/run/containerd/containerd.sock', 'version')
    return true
  } catch {
    return false
  }
}
