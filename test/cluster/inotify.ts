import { readdir, readFile, readlink, stat } from 'node:fs/promises'
import { listPids } from '../../src/lib/process-identity.ts'

/** As counted on running labs: API server 6, controllers 5, and a few for one that is started beside. */
const PER_LAB = 14
/** kubelet 6, kube-proxy, containerd, and one of a pod. */
const PER_NODE = 9

/**
 * Null where the kernel lets root watch enough files for one more lab, else what to set: a kubelet that gets no inotify instance ends with
 * "too many open files" again and again.
 */
export async function lacksInotify(nodes: number): Promise<string | null> {
  const file = '/proc/sys/fs/inotify/max_user_instances'
  const limit = Number(await readFile(file, 'utf8'))
  const used = await inUse()
  const needed = PER_LAB + PER_NODE * nodes
  if (used + needed <= limit) return null
  const wanted = 2 ** Math.ceil(Math.log2(used + needed + 1))
  return `a lab of ${String(nodes)} nodes needs about ${String(needed)} inotify instances; ${String(used)} of ${String(limit)} are in use: take another lab down, or sysctl -w fs.inotify.max_user_instances=${String(wanted)}`
}

/** Instances of our user, over all processes. */
async function inUse(): Promise<number> {
  const counts = await Promise.all((await listPids()).map((pid) => instancesOf(pid)))
  return counts.reduce((sum, count) => sum + count, 0)
}

async function instancesOf(pid: number): Promise<number> {
  const folder = `/proc/${String(pid)}/fd`
  try {
    if ((await stat(folder)).uid !== process.getuid?.()) return 0
    const links = await Promise.all(
      (await readdir(folder)).map((fd) => readlink(`${folder}/${fd}`).catch(() => '')),
    )
    return links.filter((link) => link === 'anon_inode:inotify').length
  } catch {
    // It ended meanwhile.
    return 0
  }
}
