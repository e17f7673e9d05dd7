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

/** Certificates, keys and kubeconfigs of the control plane, below `<folder>/pki`; returns the administrator's client certificate. */
export async function writeControlPlaneFiles(
  folder: string,
  addresses: Addresses,
  authority: Authority,
): Promise<KeyPair> {
  const pki = join(folder, 'pki')
  await mkdir(pki, { recursive: true, mode: 0o700 })
  const frontProxy = await Authority.create('front-proxy-ca')
  await writeFile(join(pki, 'ca.crt'), authority.certificate, { mode: 0o644 })
  await writeFile(join(pki, 'ca.key'), await authority.key(), { mode: 0o600 })
  await writeFile(join(pki, 'front-proxy-ca.crt'), frontProxy.certificate, { mode: 0o600 })
  await writePair(pki, 'front-proxy', await frontProxy.issue({ name: 'front-proxy' }))
  await writePair(pki, 'apiserver', await authority.issue(serverSubject(addresses)))
  const kubelets = { name: 'kube-apiserver', organization: 'system:masters' }
  await writePair(pki, 'kubelet-client', await authority.issue(kubelets))
  await writeTokenKey(pki)
  const server = serverOf(addresses)
  for (const name of ['controller-manager', 'scheduler']) {
    const pair = await authority.issue({ name: `system:kube-${name}` })
    await writeFile(join(pki, `${name}.kubeconfig`), kubeconfig(server, authority, pair), {
      mode: 0o600,
    })
  }
  return authority.issue({ name: 'lab-admin', organization: 'system:masters' })
}

export function serverOf({ controlPlane }: Addresses): string {
  return `https://${controlPlane}:6443`
}

/** @param programs folder of the built programs, inside of the lab */
export function controlPlane(addresses: Addresses, programs: string): readonly Program[] {
  return [
    etcd(),
    { name: 'kube-apiserver', program: `${programs}/kube-apiserver`, args: apiServer(addresses) },
    {
      name: 'kube-controller-manager',
      program: `${programs}/kube-controller-manager`,
      args: controllerManager(addresses),
    },
    {
      name: 'kube-scheduler',
      program: `${programs}/kube-scheduler`,
      args: [...kubeconfigs('scheduler'), '--leader-elect=false', '--bind-address=127.0.0.1'],
    },
  ]
}

function serverSubject(addresses: Addresses): Subject {
  const short = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc']
  return {
    name: 'kube-apiserver',
    dns: [...short, 'kubernetes.default.svc.cluster.local', 'localhost'],
    addresses: [addresses.controlPlane, addresses.apiService, '127.0.0.1'],
  }
}

function etcd(): Program {
  return {
    name: 'etcd',
    program: 'etcd',
    args: [
      '--name=lab',
      `--data-dir=${INSIDE.lab}/etcd`,
      '--listen-client-urls=http://127.0.0.1:2379',
      '--advertise-client-urls=http://127.0.0.1:2379',
      '--listen-peer-urls=http://127.0.0.1:2380',
      '--initial-advertise-peer-urls=http://127.0.0.1:2380',
      '--initial-cluster=lab=http://127.0.0.1:2380',
      '--auto-compaction-retention=5m',
      // A lab does not outlive the machine, so nothing need reach the disk.
      '--unsafe-no-fsync',
    ],
  }
}

function apiServer({ controlPlane: address, services }: Addresses): readonly string[] {
  const pki = `${INSIDE.lab}/pki`
  return [
    '--etcd-servers=http://127.0.0.1:2379',
    '--bind-address=0.0.0.0',
    '--secure-port=6443',
    `--advertise-address=${address}`,
    `--service-cluster-ip-range=${services}`,
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

function controllerManager({ pods, services }: Addresses): readonly string[] {
  const pki = `${INSIDE.lab}/pki`
  return [
    ...kubeconfigs('controller-manager'),
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
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

function kubeconfigs(name: string): readonly string[] {
  const path = `${INSIDE.lab}/pki/${name}.kubeconfig`
  return [
    `--kubeconfig=${path}`,
    `--authentication-kubeconfig=${path}`,
    `--authorization-kubeconfig=${path}`,
  ]
}
