import { mkdir, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { firstLine } from '../lib/first-line.ts'
import { start, run, runToEnd } from '../lib/process.ts'
import type { ProcessIdentity } from '../lib/process-identity.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import { readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import type { ContainerHost } from './container-host.ts'
import { passExecFifo } from './exec-fifo.ts'
import type { InstanceFolder } from './instance-folder.ts'

/** runc or crun, whose command lines agree in what is used here, with conmon as the parent of every container. */
export class OciRuntime {
  readonly #host: ContainerHost
  readonly #root: string

  /** @param runDir holds the runtime's own state as well: both end with the boot */
  constructor(host: ContainerHost, runDir: string) {
    this.#host = host
    this.#root = join(runDir, 'runtime')
  }

  /**
   * Creates the container under a conmon that outlives us, without running the command yet; returns the host's pid of its init.
   * @throws FairwayError INSTANCE_FAILED with what the runtime said
   */
  async create(folder: InstanceFolder, logFile: string, logMaxBytes: number): Promise<number> {
    const { conmon, runtime } = this.#host
    const errors = join(folder.run, 'conmon.log')
    const log = await open(errors, 'a', 0o600)
    try {
      const child = await start(
        conmon,
        [
          ...['--api-version', '1', '--cid', folder.id, '--cuuid', folder.id, '--name', folder.id],
          ...['--runtime', runtime.path, '--bundle', folder.bundle, '--persist-dir', folder.run],
          ...['--container-pidfile', folder.containerPid, '--conmon-pidfile', folder.conmonPid],
          ...['--exit-dir', folder.exitDir, '--log-path', `k8s-file:${logFile}`],
          ...['--log-size-max', String(logMaxBytes), '--no-sync-log', '--full-attach'],
          ...['--log-level', 'error', '--runtime-arg', '--root', '--runtime-arg', this.#root],
        ],
        {
          cwd: folder.run,
          env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', _OCI_SYNCPIPE: '3' },
          stdio: ['ignore', log.fd, log.fd, 'pipe'],
          detached: true,
        },
      )
      child.unref()
      const answer = await firstLine(child.stdio[3])
      const parsed = parseAnswer(answer)
      if (parsed.data > 0) return parsed.data
      const said = parsed.message ?? (await readIfExists(errors)) ?? ''
      throw new FairwayError('INSTANCE_FAILED', `${folder.id} cannot start: ${plainReason(said)}`)
    } finally {
      await log.close()
    }
  }

  /** Runs the command of a created container, whose init is the process given. */
  async start(id: string, init: ProcessIdentity, clock: Clock): Promise<void> {
    const { name, path } = this.#host.runtime
    const fifo = join(this.#root, id, 'exec.fifo')
    // crun has a pipe of the same name that works the other way round.
    if (name === 'runc' && (await passExecFifo({ path: fifo, init, clock }))) return
    await run(path, ['--root', this.#root, 'start', id], { timeoutMs: 30_000 })
  }

  /** 'created', 'running', 'stopped', or null where the runtime knows nothing of it. */
  async status(id: string): Promise<string | null> {
    const result = await runToEnd(this.#host.runtime.path, ['--root', this.#root, 'state', id])
    if (result.code !== 0) return null
    const { status } = JSON.parse(result.stdout) as { readonly status: string }
    return status
  }

  /** Kills what is left of it, then removes its cgroups and state. Unknown: nothing happens. */
  async delete(id: string): Promise<void> {
    const args = ['--root', this.#root, 'delete', '--force', id]
    const result = await runToEnd(this.#host.runtime.path, args, { timeoutMs: 60_000 })
    if (result.code === 0 || /does not exist|No such file/.test(result.stderr)) return
    throw new Error(`cannot delete container ${id}: ${result.stderr.trim()}`)
  }

  /** Program and arguments that run a process specification (runtime-spec, `process`) in a running container. */
  async execCommand(
    folder: InstanceFolder,
    specFile: string,
    pidFile: string,
  ): Promise<readonly [string, readonly string[]]> {
    const { runtime, ownerOffset } = this.#host
    const args = ['exec', '--pid-file', pidFile, '--process', specFile, folder.id]
    const lease = await folder.leased()
    if (runtime.name !== 'runc' || ownerOffset === 0 || lease === null) {
      return [runtime.path, ['--root', this.#root, ...args]]
    }
    const root = await this.#stateWithoutNetwork(folder)
    return ['nsenter', [`--net=${lease.netns}`, '--', runtime.path, '--root', root, ...args]]
  }

  /** Program and arguments that run a bundle to its end in the foreground; it is still there then, for its cgroup to be read. */
  runCommand(id: string, bundle: string): readonly [string, readonly string[]] {
    const { name, path } = this.#host.runtime
    // crun has no such option, and no way to read how a container ended.
    const keep = name === 'runc' ? ['--keep'] : []
    return [path, ['--root', this.#root, 'run', ...keep, '--bundle', bundle, id]]
  }

  /**
   * runc before 1.2 joins the user namespace first and may then not join a network namespace of the host any more. So it starts
   * in that network and gets a copy of the container's state that does not name it.
   */
  async #stateWithoutNetwork(folder: InstanceFolder): Promise<string> {
    const root = join(folder.run, 'exec')
    const text = await readFile(join(this.#root, folder.id, 'state.json'), 'utf8')
    const state = JSON.parse(text) as RuncState
    const paths = Object.entries(state.namespace_paths).filter(([type]) => type !== 'NEWNET')
    const namespaces = state.config.namespaces.filter(({ type }) => type !== 'NEWNET')
    const copy = {
      ...state,
      namespace_paths: Object.fromEntries(paths),
      config: { ...state.config, namespaces },
    }
    await mkdir(join(root, folder.id), { recursive: true, mode: 0o700 })
    await writeAtomically(join(root, folder.id, 'state.json'), JSON.stringify(copy), {
      durable: false,
    })
    return root
  }
}

/** What is changed of runc's state.json. */
interface RuncState {
  readonly namespace_paths: Readonly<Record<string, string>>
  readonly config: { readonly namespaces: readonly { readonly type: string }[] }
}

interface ConmonAnswer {
  /** The container's pid, or -1. */
  readonly data: number
  readonly message?: string
}

/** conmon writes one JSON line on its sync pipe when the container exists or cannot. */
function parseAnswer(line: string): ConmonAnswer {
  try {
    const value = JSON.parse(line) as Partial<ConmonAnswer>
    const data = typeof value.data === 'number' ? value.data : -1
    return typeof value.message === 'string' ? { data, message: value.message } : { data }
  } catch {
    return { data: -1 }
  }
}

/** 'exec: "nope": executable file not found in $PATH' out of the chain of prefixes that runtimes print. */
function plainReason(text: string): string {
  const message = /"msg":"((?:[^"\\]|\\.)*)"/.exec(text)?.[1] ?? text
  const line = message.trim().split('\n').at(-1) ?? ''
  const tail = line
    .replaceAll('\\"', '"')
    .replaceAll('\\', '')
    .replace(/"\s*\}?$/, '')
  return (
    tail.replace(/^.*?(?:unable to start container process: |OCI runtime error: )/, '') ||
    'no reason given'
  )
}
