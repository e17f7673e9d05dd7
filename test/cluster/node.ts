import { mkdir, writeFile } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { REGISTRY_PORT, type Addresses, type NodeAddresses } from './addresses.ts'
import { kubeconfig, writePair, type Authority } from './certificates.ts'
import { INSIDE, placeInLab, serverOf, type Program } from './control-plane.ts'
import {
  NETWORK_SETTINGS,
  runInNetwork,
  runInside,
  startHolder,
  type Holder,
} from './namespaces.ts'

export const PAUSE_IMAGE = 'fairway.test/pause:1'

export interface NodeOptions {
  readonly addresses: Addresses
  readonly node: NodeAddresses
  /** Folder of the lab on the host. */
  readonly folder: string
  readonly authority: Authority
  /** Cgroup below which its pods run, such as `/fairway-lab-a/node1`. */
  readonly cgroup: string
  /** Bytes that its pods may have together. */
  readonly memory: number
  /** First process of the lab. */
  readonly lab: number
}

/** Settings that the kubelet insists on and that a namespace cannot set: it reads these files instead of the kernel's. */
const KERNEL_SETTINGS: Readonly<Record<string, string>> = {
  'vm/overcommit_memory': '1',
  'vm/panic_on_oom': '0',
  'kernel/panic': '10',
  'kernel/panic_on_oops': '1',
  'kernel/keys/root_maxkeys': '1000000',
  'kernel/keys/root_maxbytes': '25000000',
}

/** Namespaces, link, files and mounts of a node; its programs are not started yet. */
export async function makeNode(options: NodeOptions): Promise<Holder> {
  const { node, folder } = options
  for (const part of ['lib/kubelet', 'log', 'containerd', 'proc', 'cni', 'lib/cni']) {
    await mkdir(join(folder, 'nodes', node.name, part), { recursive: true, mode: 0o755 })
  }
  await writeNodeFiles(options)
  const holder = await startHolder(options.lab)
  await mountNode(holder.pid, node.name)
  await linkNode(holder.pid, options)
  return holder
}

/** In the order of their start. @param programs folder of the built programs, inside of the lab */
export function nodePrograms({ node }: NodeOptions, programs: string): readonly Program[] {
  const files = `${INSIDE.lab}/nodes/${node.name}`
  const labels = `topology.kubernetes.io/zone=zone-${node.name.slice(4)}`
  return [
    {
      name: `${node.name}/containerd`,
      program: 'containerd',
      args: ['--config', `${files}/containerd.toml`],
    },
    {
      name: `${node.name}/kubelet`,
      program: `${programs}/kubelet`,
      args: [
        `--config=${files}/kubelet.json`,
        `--kubeconfig=${files}/kubelet.kubeconfig`,
        `--hostname-override=${node.name}`,
        `--node-ip=${node.address}`,
        `--node-labels=${labels}`,
      ],
    },
    {
      name: `${node.name}/kube-proxy`,
      program: `${programs}/kube-proxy`,
      args: [`--config=${files}/kube-proxy.json`],
    },
  ]
}

/** Where containerd of every node looks up a registry: the folder is shared, and read anew for each pull. */
export async function writeRegistryHosts(folder: string, { host }: Addresses): Promise<void> {
  const target = `http://${host}:${String(REGISTRY_PORT)}`
  for (const name of [`127.0.0.1:${String(REGISTRY_PORT)}`, `localhost:${String(REGISTRY_PORT)}`]) {
    const hosts = join(folder, 'certs.d', name)
    await mkdir(hosts, { recursive: true })
    const text = `server = "${target}"\n\n[host."${target}"]\n  capabilities = ["pull", "resolve"]\n`
    await writeFile(join(hosts, 'hosts.toml'), text)
  }
}

/** As `writeRegistryHosts`, for one with TLS whose certificate `authority` signed. */
export async function writeTrustedRegistry(
  folder: string,
  name: string,
  authority: string,
): Promise<void> {
  const hosts = join(folder, 'certs.d', name)
  await mkdir(hosts, { recursive: true })
  await writeFile(join(hosts, 'ca.crt'), authority)
  const target = `https://${name}`
  const text = `server = "${target}"\n\n[host."${target}"]\n  capabilities = ["pull", "resolve"]\n  ca = "${INSIDE.lab}/certs.d/${name}/ca.crt"\n`
  await writeFile(join(hosts, 'hosts.toml'), text)
}

async function mountNode(pid: number, name: string): Promise<void> {
  const files = `${INSIDE.lab}/nodes/${name}`
  const mount = (...args: string[]): Promise<string> => runInside(pid, 'mount', ...args)
  await mount('-t', 'tmpfs', '-o', 'mode=755', 'run', '/run')
  await mount('--bind', `${files}/lib`, '/var/lib')
  await mount('--bind', `${files}/log`, '/var/log')
  await mount('--make-rshared', '/var/lib')
  for (const setting of Object.keys(KERNEL_SETTINGS)) {
    await mount('--bind', `${files}/proc/${fileOf(setting)}`, `/proc/sys/${setting}`)
  }
}

async function linkNode(pid: number, { node, addresses, lab }: NodeOptions): Promise<void> {
  const inLab = (...args: string[]): Promise<string> => runInNetwork(lab, 'ip', ...args)
  const inNode = (...args: string[]): Promise<string> => runInNetwork(pid, 'ip', ...args)
  const peer = ['peer', 'name', 'eth0', 'netns', String(pid)]
  // After a node was killed, its link may take a moment to go.
  await inLab('link', 'delete', node.device).catch(() => '')
  await inLab('link', 'add', node.device, 'type', 'veth', ...peer)
  await inLab('link', 'set', node.device, 'master', 'br0', 'up')
  await inNode('link', 'set', 'lo', 'up')
  await inNode('address', 'add', `${node.address}/24`, 'dev', 'eth0')
  await inNode('link', 'set', 'eth0', 'up')
  await inNode('route', 'add', 'default', 'via', addresses.controlPlane)
  await runInNetwork(pid, 'sysctl', '-qw', ...NETWORK_SETTINGS)
  await inLab('route', 'replace', node.pods, 'via', node.address)
}

async function writeNodeFiles(options: NodeOptions): Promise<void> {
  const { node, folder, authority, addresses } = options
  const files = join(folder, 'nodes', node.name)
  const write = (name: string, content: string | object): Promise<void> =>
    writeFile(
      join(files, name),
      typeof content === 'string' ? content : JSON.stringify(content, null, 2),
      { mode: 0o600 },
    )
  const server = serverOf(placeInLab(addresses))
  const names = { dns: [node.name], addresses: [node.address] }
  const identity = { name: `system:node:${node.name}`, organization: 'system:nodes' }
  const proxy = await authority.issue({ name: 'system:kube-proxy' })
  await writePair(files, 'kubelet', await authority.issue({ ...identity, ...names }))
  const client = await authority.issue(identity)
  await write('kubelet.kubeconfig', kubeconfig(server, authority, client))
  await write('kube-proxy.kubeconfig', kubeconfig(server, authority, proxy))
  await write('kubelet.json', kubeletConfig(options))
  await write('kube-proxy.json', proxyConfig(options))
  await write('containerd.toml', containerdConfig(node))
  await write('cni/10-lab.conflist', networkConfig(node))
  await write('resolv.conf', '')
  for (const [setting, value] of Object.entries(KERNEL_SETTINGS)) {
    await write(`proc/${fileOf(setting)}`, `${value}\n`)
  }
}

function kubeletConfig({ node, addresses, cgroup, memory }: NodeOptions): object {
  const files = `${INSIDE.lab}/nodes/${node.name}`
  // What the node offers to pods is what the lab may use, not what the machine has.
  const reserved = Math.max(0, totalmem() - memory)
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: `${INSIDE.lab}/pki/ca.crt` },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: `${files}/kubelet.crt`,
    tlsPrivateKeyFile: `${files}/kubelet.key`,
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    clusterDNS: [addresses.dnsService],
    clusterDomain: 'cluster.local',
    resolvConf: `${files}/resolv.conf`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: cgroup,
    failCgroupV1: false,
    failSwapOn: false,
    enforceNodeAllocatable: ['pods'],
    systemReserved: { memory: String(reserved) },
    evictionHard: {
      'memory.available': '50Mi',
      'nodefs.available': '1%',
      'imagefs.available': '1%',
    },
    imageGCHighThresholdPercent: 99,
    imageGCLowThresholdPercent: 98,
    oomScoreAdj: 0,
    // As a cluster is in which image pulls do not wait for each other.
    serializeImagePulls: false,
  }
}

function proxyConfig({ node, addresses }: NodeOptions): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    clientConnection: { kubeconfig: `${INSIDE.lab}/nodes/${node.name}/kube-proxy.kubeconfig` },
    mode: 'iptables',
    clusterCIDR: addresses.pods,
    hostnameOverride: node.name,
    oomScoreAdj: 0,
    conntrack: {
      maxPerCore: 0,
      min: 0,
      tcpEstablishedTimeout: '0s',
      tcpCloseWaitTimeout: '0s',
      udpTimeout: '0s',
      udpStreamTimeout: '0s',
    },
  }
}

function containerdConfig({ name }: NodeAddresses): string {
  const files = `${INSIDE.lab}/nodes/${name}`
  const cri = 'plugins."io.containerd.grpc.v1.cri"'
  return `version = 2
root = "${files}/containerd"
state = "/run/containerd"

[grpc]
  address = "/run/containerd/containerd.sock"

[${cri}]
  sandbox_image = "${PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE no score can be lowered, and every sandbox would fail.
  restrict_oom_score_adj = true
  disable_apparmor = true

[${cri}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"

[${cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[${cri}.containerd.runtimes.runc.options]
  SystemdCgroup = false

[${cri}.cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "${files}/cni"

[${cri}.registry]
  config_path = "${INSIDE.lab}/certs.d"
`
}

function networkConfig({ pods }: NodeAddresses): object {
  const ipam = {
    type: 'host-local',
    ranges: [[{ subnet: pods }]],
    dataDir: '/var/lib/cni/networks',
  }
  return {
    cniVersion: '0.4.0',
    name: 'lab',
    plugins: [
      { type: 'bridge', bridge: 'cni0', isDefaultGateway: true, hairpinMode: true, ipam },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  }
}

function fileOf(setting: string): string {
  return setting.replaceAll('/', '.')
}
