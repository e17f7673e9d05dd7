import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { identify, type ProcessIdentity } from '../lib/process-identity.ts'
import { together } from '../lib/together.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { InstanceSpec } from '../model/instance.ts'
import { logFile } from '../model/log-file.ts'
import type { Digest } from '../model/release.ts'
import type { InstancePayload } from '../model/secrets.ts'
import { Cgroup } from './cgroup.ts'
import { cgroupPath, type ContainerHost } from './container-host.ts'
import { imageUser } from './image-user.ts'
import { writeBundle } from './instance-bundle.ts'
import type { InstanceFolder, RunRecord } from './instance-folder.ts'
import type { Lease, Network } from './network.ts'
import { mountOverlay } from './overlay.ts'
import { mountPrivate } from './private-folders.ts'
import type { OciRuntime } from './runtime.ts'

/** What the runner needs of the image store. */
export interface LayerSource {
  /** Unpacked layers of an image, topmost first, owned by the host's `ownerOffset`. */
  lowerDirs(digest: Digest): Promise<readonly string[]>
}

export interface InstanceMakerOptions {
  readonly runDir: string
  readonly host: ContainerHost
  readonly images: LayerSource
  readonly logDir: string
  readonly logMaxBytes: number
  readonly network: Network
  readonly runtime: OciRuntime
  readonly clock: Clock
}

/** An instance whose container is there, with its folders in memory, and whose command has not run. */
export interface MadeInstance {
  readonly lease: Lease
  readonly init: ProcessIdentity
  readonly port: number | null
}

/** Makes instances, up to their command and then on from there. What fails half-way is left to whoever asked: everything carries the id. */
export class InstanceMaker {
  readonly #options: InstanceMakerOptions

  constructor(options: InstanceMakerOptions) {
    this.#options = options
  }

  /**
   * @param privateEnv of the payload: it is part of what the runtime reads @param beside done while the runtime works, by when the private folders are there
   */
  async make(
    spec: InstanceSpec,
    folder: InstanceFolder,
    {
      privateEnv,
      beside,
    }: {
      readonly privateEnv: InstancePayload['env']
      readonly beside: (lease: Lease) => Promise<unknown>
    },
  ): Promise<MadeInstance> {
    const { host, images, logDir, logMaxBytes, network, runtime, runDir } = this.#options
    const file = logFile(logDir, spec)
    const lowerDirs = images.lowerDirs(spec.image.digest)
    const user = lowerDirs.then((dirs) =>
      imageUser(spec.image.user, dirs, { userNamespace: host.ownerOffset > 0 }),
    )
    const [lease] = await together([
      network.take(folder.lease),
      lowerDirs.then((dirs) => mountOverlay(folder.run, dirs, host.ownerOffset)),
      mountPrivate(folder, spec, { user, host }),
      mkdir(dirname(file), { recursive: true, mode: 0o700 }),
      user,
    ])
    const port = portOf(spec)
    const { gateway } = network
    const place = { runDir, folder, host, lease, gateway }
    await writeBundle({ ...place, spec, user: await user, port, privateEnv })
    const [pid] = await together([runtime.create(folder, file, logMaxBytes), beside(lease)])
    const init = await identify(pid)
    if (init === null) throw new FairwayError('INSTANCE_FAILED', `${spec.id} ended at once`)
    return { lease, init, port }
  }

  /** Lets the command run. */
  async run(folder: InstanceFolder, { init, port }: MadeInstance): Promise<RunRecord> {
    const { clock, host, runDir, runtime } = this.#options
    const monitor = await folder.pid(folder.conmonPid)
    const cgroup = new Cgroup(host.cgroups, cgroupPath(runDir, folder.id))
    await together([
      runtime.start(folder.id, init, clock),
      monitor === null ? undefined : cgroup.charge(monitor),
    ])
    const record = { process: init, startedAt: clock.now(), port, hasInit: host.init !== null }
    await folder.saveRecord(record)
    return record
  }
}

/** Where the instance is to listen; null for one that does not. */
export function portOf(spec: InstanceSpec): number | null {
  return spec.listens ? (spec.port ?? spec.image.port ?? 8080) : null
}
