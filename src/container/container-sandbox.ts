import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfExists } from '../lib/atomic-file.ts'
import { killGroup, runLimited } from '../lib/limited-run.ts'
import type { Sandbox, SandboxRequest, SandboxResult } from '../model/sandbox.ts'
import { bundleConfig, type Bind } from './bundle.ts'
import { Cgroup } from './cgroup.ts'
import { cgroupPath, runFolder, type ContainerHost } from './container-host.ts'
import type { Network } from './network.ts'
import { mountOverlay, unmount } from './overlay.ts'
import { OciRuntime } from './runtime.ts'

export interface ContainerSandboxOptions {
  readonly dataDir: string
  readonly host: ContainerHost
  /** Of the runner over the same data directory, which must be open. */
  readonly network: Network
}

/** Build steps in a container: confined as an app is, with a writable work folder and, where asked for, the same isolated network. */
export class ContainerSandbox implements Sandbox {
  readonly flavour = 'image'
  readonly #options: ContainerSandboxOptions
  readonly #runDir: string
  readonly #folder: string
  readonly #runtime: OciRuntime
  #swept: Promise<void> | null = null

  constructor(options: ContainerSandboxOptions) {
    this.#options = options
    this.#runDir = runFolder(options.dataDir)
    this.#folder = join(this.#runDir, 'steps')
    this.#runtime = new OciRuntime(options.host, this.#runDir)
  }

  get ownerOffset(): number {
    return this.#options.host.ownerOffset
  }

  get writer(): number {
    return this.ownerOffset + this.#user.uid
  }

  /** What root inside may do to files is what bake expects; it has no capability, and is nobody outside. */
  get #user(): typeof ROOT {
    return this.ownerOffset > 0 ? ROOT : NOBODY
  }

  /** Removes what steps of a killed server left; once, before the first step. */
  async #sweep(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o711 })
    for (const id of await readdir(this.#folder)) await this.#clean(id)
  }

  async run(
    request: SandboxRequest,
    onOutput: (text: string) => void,
    signal: AbortSignal,
  ): Promise<SandboxResult> {
    await (this.#swept ??= this.#sweep())
    const id = `step-${randomBytes(6).toString('hex')}`
    const folder = join(this.#folder, id)
    try {
      await mkdir(folder, { recursive: true, mode: 0o711 })
      const { ownerOffset } = this.#options.host
      const [lease] = await Promise.all([
        request.network ? this.#options.network.take(join(folder, 'lease.json')) : null,
        mountOverlay(folder, request.lowerDirs, ownerOffset),
      ])
      await this.#writeBundle(id, request, lease?.netns ?? null)
      const [program, args] = this.#runtime.runCommand(id, folder)
      const result = await runLimited({
        program,
        args,
        cwd: folder,
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
        timeoutMs: request.limits.timeoutMs,
        disk: {
          folders: [request.workDir, ...request.caches.map(({ dir }) => dir)],
          bytes: request.limits.disk,
        },
        onOutput,
        signal,
        kill: async (pid) => {
          await this.#runtime.delete(id)
          // Where it came too early for that, the runtime is still making the container.
          killGroup(pid)
        },
      })
      return result.reason === 'exited' && (await this.#ranOutOfMemory(id, result.code))
        ? { ...result, reason: 'oom' }
        : result
    } finally {
      await this.#clean(id)
    }
  }

  async #writeBundle(id: string, request: SandboxRequest, netns: string | null): Promise<void> {
    const folder = join(this.#folder, id)
    const names = { hosts: '127.0.0.1 localhost\n', 'resolv.conf': await hostResolvers() }
    const config = bundleConfig({
      hostname: 'build',
      argv: request.argv,
      env: { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: '/tmp', ...request.env },
      cwd: request.cwd,
      user: this.#user,
      rootfs: join(folder, 'root'),
      netns,
      binds: [
        {
          source: request.workDir,
          destination: request.workMount,
          writable: true,
          executable: true,
        },
        ...request.caches.map((cache): Bind => {
          return { source: cache.dir, destination: cache.mount, writable: true, executable: true }
        }),
        ...request.readOnly.map((file): Bind => {
          return { source: file.file, destination: file.mount, writable: false }
        }),
        ...Object.keys(names).map((name): Bind => {
          return {
            source: join(folder, name),
            destination: `/etc/${name}`,
            writable: false,
          }
        }),
      ],
      limits: request.limits,
      tmpBytes: request.limits.memory / 2,
      cgroupsPath: cgroupPath(this.#runDir, id),
      host: this.#options.host,
    })
    await Promise.all([
      ...Object.entries(names).map(([name, text]) => writeFile(join(folder, name), text)),
      writeFile(join(folder, 'config.json'), JSON.stringify(config), { mode: 0o600 }),
    ])
  }

  /** Where the runtime removes the cgroup at once, an exit by SIGKILL that nobody here sent has to do as evidence. */
  async #ranOutOfMemory(id: string, code: number | null): Promise<boolean> {
    if (code === 0) return false
    return this.#options.host.runtime.name === 'runc'
      ? (await this.#cgroup(id).oomKills()) > 0
      : code === 137
  }

  async #clean(id: string): Promise<void> {
    const folder = join(this.#folder, id)
    await this.#runtime.delete(id)
    await this.#cgroup(id).remove()
    await Promise.all([
      unmount(join(folder, 'root')),
      this.#options.network.release(join(folder, 'lease.json')),
    ])
    await rm(folder, { recursive: true, force: true })
  }

  #cgroup(id: string): Cgroup {
    return new Cgroup(this.#options.host.cgroups, cgroupPath(this.#runDir, id))
  }
}

const ROOT = { uid: 0, gid: 0, groups: [] }
const NOBODY = { uid: 65_532, gid: 65_532, groups: [] }

/** The host's name servers, other than those on its loopback, which a step cannot reach. */
async function hostResolvers(): Promise<string> {
  for (const file of ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf']) {
    const lines = ((await readIfExists(file)) ?? '').split('\n')
    const servers = lines.filter((line) => /^nameserver\s+(?!127\.|::1)/.test(line))
    const others = lines.filter((line) => /^(?:search|options)\s/.test(line))
    if (servers.length > 0) return [...servers, ...others, ''].join('\n')
  }
  return ''
}
