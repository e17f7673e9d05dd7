import { readProc } from '../lib/process-identity.ts'

/** State LISTEN of include/net/tcp_states.h, as /proc/net/tcp prints it. */
const LISTEN = '0A'

/** TCP ports in LISTEN state in the network namespace of a process, ascending. */
export async function listeningPorts(pid: number): Promise<readonly number[]> {
  const ports = new Set<number>()
  for (const file of ['net/tcp', 'net/tcp6']) {
    for (const line of ((await readProc(pid, file)) ?? '').split('\n').slice(1)) {
      const [, local = '', , state] = line.trim().split(/\s+/)
      if (state === LISTEN) ports.add(Number.parseInt(local.split(':')[1] ?? '', 16))
    }
  }
  return [...ports].sort((a, b) => a - b)
}
