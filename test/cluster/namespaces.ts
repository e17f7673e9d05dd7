import { minimalEnv, run, start } from '../../src/lib/process.ts'
import { readProc } from '../../src/lib/process-identity.ts'

/** What `start` hands over. */
export type Child = Awaited<ReturnType<typeof start>>

/** Every network namespace has its own; a lab's say nothing to the host's. */
export const NETWORK_SETTINGS = [
  'net.ipv4.ip_forward=1',
  'net.ipv4.conf.all.route_localnet=1',
  'net.ipv4.conf.all.send_redirects=0',
  'net.bridge.bridge-nf-call-iptables=1',
]

/** First process of namespaces of its own for mounts, network and processes. It ends when `process` or whoever started that ends, and all within with it. */
export interface Holder {
  /** In the host's numbers. */
  readonly pid: number
  readonly process: Child
  /** Ends all within, and returns when it is gone. */
  end(): Promise<void>
}

/** What starts a program in the namespaces of `pid`, null = those of the host; the program ends when whoever waits for it outside does. */
export function inside(
  pid: number | null,
  program: string,
  args: readonly string[],
): readonly string[] {
  const enter = pid === null ? [] : ['nsenter', '-t', String(pid), '-m', '-n', '-p', '--']
  return [...enter, 'setpriv', '--pdeathsig', 'KILL', '--', program, ...args]
}

/** Runs a program in the namespaces to its end. @throws ProgramError */
export async function runInside(pid: number, program: string, ...args: string[]): Promise<string> {
  const [enter = '', ...rest] = inside(pid, program, args)
  return run(enter, rest, { timeoutMs: 60_000 })
}

/** Runs a program of the host in the network namespace alone: process ids are the host's. @throws ProgramError */
export async function runInNetwork(
  pid: number,
  program: string,
  ...args: string[]
): Promise<string> {
  return run('nsenter', ['-t', String(pid), '-n', '--', program, ...args], { timeoutMs: 60_000 })
}

/**
 * Starts a holder, within the namespaces of another one if given.
 * Its `cat` reads a pipe that only this process holds: however we end, the pipe closes, `cat` ends, and the kernel ends all in the process namespace.
 */
export async function startHolder(within: number | null): Promise<Holder> {
  const flags = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc']
  const unshare = ['unshare', ...flags, 'tini', '-s', '--', 'cat']
  const [program = '', ...args] =
    within === null
      ? unshare
      : ['nsenter', '-t', String(within), '-m', '-n', '-p', '--', ...unshare]
  const child = await start(program, args, {
    env: minimalEnv(),
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  const pid = await firstProcess(child)
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  return {
    pid,
    process: child,
    end: () => {
      if (child.exitCode !== null || child.signalCode !== null) return gone
      // unshare itself lives on until it has waited for this child, so that no zombie is left to others.
      process.kill(pid, 'SIGKILL')
      return gone
    },
  }
}

/** Follows the only child of each process down to `tini`, the first one of the new namespace. */
async function firstProcess(child: Child): Promise<number> {
  const { pid: top } = child
  if (top === undefined) throw new Error('unshare has no process id')
  for (let attempt = 0; attempt < 3000; attempt++) {
    if (child.exitCode !== null) throw new Error(`unshare: exit ${String(child.exitCode)}`)
    const found = await descend(top)
    if (found !== null) return found
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('the namespaces were not ready within 30 s')
}

async function descend(pid: number): Promise<number | null> {
  const name = (await readProc(pid, 'comm'))?.trim()
  const next = await onlyChild(pid)
  if (name === 'tini') return next === null ? null : pid
  return next === null ? null : descend(next)
}

/** The first child, null where there is none. */
export async function onlyChild(pid: number): Promise<number | null> {
  const children = await readProc(pid, `task/${String(pid)}/children`)
  const [first = ''] = (children ?? '').trim().split(' ')
  return first === '' ? null : Number(first)
}
