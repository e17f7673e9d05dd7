import { access } from 'node:fs/promises'
import { join } from 'node:path'

/** Program or file -> the Debian package that brings it. */
const NEEDED: Readonly<Record<string, string>> = {
  etcd: 'etcd-server',
  containerd: 'containerd',
  runc: 'runc',
  '/usr/lib/cni/bridge': 'containernetworking-plugins',
  iptables: 'iptables',
  conntrack: 'conntrack',
  ip: 'iproute2',
  sysctl: 'procps',
  nsenter: 'util-linux',
  tini: 'tini',
}

const FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** Null where this machine can run a lab, else what is missing and how to get it. */
export async function missingPackages(): Promise<string | null> {
  if (process.platform !== 'linux') return 'a lab needs Linux'
  if (process.getuid?.() !== 0) return 'a lab needs root: namespaces, mounts and cgroups'
  const missing: string[] = []
  for (const [what, name] of Object.entries(NEEDED)) {
    if (!(await isHere(what))) missing.push(name)
  }
  if (missing.length === 0) return null
  return `missing: ${missing.join(', ')}; apt-get install --no-install-recommends ${missing.join(' ')}`
}

async function isHere(what: string): Promise<boolean> {
  const paths = what.startsWith('/') ? [what] : FOLDERS.map((folder) => join(folder, what))
  for (const path of paths) {
    try {
      await access(path)
      return true
    } catch {
      continue
    }
  }
  return false
}
