import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Addresses } from './addresses.ts'
import {
  Authority,
  kubeconfig,
  writePair,
  writeTokenKey,
  type KeyPair,
  type Subject,
} from './certificates.ts'

/** A program with its arguments; `component.ts` runs it. */
export interface Program {
  readonly name: string
  readonly program: string
  readonly args: readonly string[]
}

/** Where things are inside of the lab's mount namespace, whatever the host calls them. */
export const INSIDE = { lab: '/mnt/lab', cache: '/mnt/cache' } as const

/** Where the parts of one control plane find their files and each other. */
export interface Place {
  /** With `pki` and `etcd`, as the programs see it. */
  readonly folder: string
  /** Of loopback; etcd's second one is for other members, of which there are none. */
  readonly etcdPorts: readonly [number, number]
  /** Where the API server listens. */
  readonly bind: string
  readonly port: number
  /** How it is reached. */
  readonly address: string
  readonly addresses: Pick<Addresses, 'services' | 'apiService' | 'pods'>
}

export interface ControlPlaneOptions {
  /** Folder of the built programs, as they see it. */
  readonly programs: string
  /** Flags beside those that each has here. */
  readonly apiServer?: readonly string[]
  readonly controllerManager?: readonly string[]
}

export function placeInLab(addresses: Addresses): Place {
  return {
    folder: INSIDE.lab,
    etcdPorts: [2379, 2380],
    bind: '0.0.0.0',
    port: 6443,
    address: addresses.controlPlane,
    addresses,
  }
}

/** Certificates, keys and kubeconfigs of the control plane, below `<folder>/pki`; returns the administrator's client certificate. */
export async function writeControlPlaneFiles(
  folder: string,
  place: Place,
  authority: Authority,
): Promise<KeyPair> {
  const pki = join(folder, 'pki')
  await mkdir(pki, { recursive: true, mode: 0o700 })
  const frontProxy = await Authority.create('front-proxy-ca')
  await writeFile(join(pki, 'ca.crt'), authority.certificate, { mode: 0o644 })
  await writeFile(join(pki, 'ca.key'), await authority.key(), { mode: 0o600 })
  await writeFile(join(pki, 'front-proxy-ca.crt'), frontProxy.certificate, { mode: 0o600 })
  await writePair(pki, 'front-proxy', await frontProxy.issue({ name: 'front-proxy' }))
  await writePair(pki, 'apiserver', await authority.issue(serverSubject(place)))
  const kubelets = { name: 'kube-apiserver', organization: 'system:masters' }
  await writePair(pki, 'kubelet-client', await authority.issue(kubelets))
  await writeTokenKey(pki)
  const server = serverOf(place)
  for (const name of ['controller-manager', 'scheduler']) {
    const pair = await authority.issue({ name: `system:kube-${name}` })
    await writeFile(join(pki, `${name}.kubeconfig`), kubeconfig(server, authority, pair), {
      mode: 0o600,
    })
  }
  return authority.issue({ name: 'lab-admin', organization: 'system:masters' })
}

export function serverOf({ address, port }: Pick<Place, 'address' | 'port'>): string {
  return `https://${address}:${String(port)}`
}

/** In the order in which they start. */
export function controlPlane(place: Place, options: ControlPlaneOptions): readonly Program[] {
  const { programs } = options
  const local = ['--leader-elect=false', '--bind-address=127.0.0.1']
  return [
    etcd(place),
    {
      name: 'kube-apiserver',
      program: `${programs}/kube-apiserver`,
      args: [...apiServer(place), ...(options.apiServer ?? [])],
    },
    {
      name: 'kube-controller-manager',
      program: `${programs}/kube-controller-manager`,
      args: [...controllerManager(place), ...local, ...(options.controllerManager ?? [])],
    },
    {
      name: 'kube-scheduler',
      program: `${programs}/kube-scheduler`,
      args: [...kubeconfigs(place, 'scheduler'), ...local],
    },
  ]
}

function serverSubject({ address, addresses }: Place): Subject {
  const short = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc']
  return {
    name: 'kube-apiserver',
    dns: [...short, 'kubernetes.default.svc.cluster.local', 'localhost'],
    addresses: [address, addresses.apiService, '127.0.0.1'],
  }
}

function etcd({ folder, etcdPorts: [client, peer] }: Place): Program {
  const [clients, peers] = [client, peer].map((port) => `http://127.0.0.1:${String(port)}`)
  return {
    name: 'etcd',
    program: 'etcd',
    args: [
      '--name=lab',
      `--data-dir=${folder}/etcd`,
      `--listen-client-urls=${clients}`,
      `--advertise-client-urls=${clients}`,
      `--listen-peer-urls=${peers}`,
      `--initial-advertise-peer-urls=${peers}`,
      `--initial-cluster=lab=${peers}`,
      '--auto-compaction-retention=5m',
      // A lab does not outlive the machine, so nothing need reach the disk.
      '--unsafe-no-fsync',
    ],
  }
}

function apiServer(place: Place): readonly string[] {
  const { address, bind, port, etcdPorts, folder } = place
  const pki = `${folder}/pki`
  return [
    `--etcd-servers=http://127.0.0.1:${String(etcdPorts[0])}`,
    `--bind-address=${bind}`,
    `--secure-port=${String(port)}`,
    `--advertise-address=${address}`,
    `--service-cluster-ip-range=${place.addresses.services}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    `--client-ca-file=${pki}/ca.crt`,
    `--tls-cert-file=${pki}/apiserver.crt`,
    `--tls-private-key-file=${pki}/apiserver.key`,
    `--kubelet-certificate-authority=${pki}/ca.crt`,
    `--kubelet-client-certificate=${pki}/kubelet-client.crt`,
    `--kubelet-client-key=${pki}/kubelet-client.key`,
    '--kubelet-preferred-address-types=InternalIP',
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${pki}/service-accounts.pub`,
    `--service-account-signing-key-file=${pki}/service-accounts.key`,
    `--requestheader-client-ca-file=${pki}/front-proxy-ca.crt`,
    '--requestheader-allowed-names=front-proxy',
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    '--requestheader-group-headers=X-Remote-Group',
    '--requestheader-username-headers=X-Remote-User',
    `--proxy-client-cert-file=${pki}/front-proxy.crt`,
    `--proxy-client-key-file=${pki}/front-proxy.key`,
    // No kube-proxy runs beside the API server: webhooks and API services are called at their pods.
    '--enable-aggregator-routing=true',
  ]
}

function controllerManager(place: Place): readonly string[] {
  const { pods, services } = place.addresses
  const pki = `${place.folder}/pki`
  return [
    ...kubeconfigs(place, 'controller-manager'),
    '--use-service-account-credentials=true',
    '--allocate-node-cidrs=false',
    `--cluster-cidr=${pods}`,
    `--service-cluster-ip-range=${services}`,
    `--root-ca-file=${pki}/ca.crt`,
    `--service-account-private-key-file=${pki}/service-accounts.key`,
    `--cluster-signing-cert-file=${pki}/ca.crt`,
    `--cluster-signing-key-file=${pki}/ca.key`,
  ]
}

function kubeconfigs({ folder }: Place, name: string): readonly string[] {
  const path = `${folder}/pki/${name}.kubeconfig`
  return [
    `--kubeconfig=${path}`,
    `--authentication-kubeconfig=${path}`,
    `--authorization-kubeconfig=${path}`,
  ]
}
