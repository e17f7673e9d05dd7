import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { Runner } from '../model/runner.ts'
import type { Sandbox } from '../model/sandbox.ts'
import { detectContainerHost, runFolder } from '../container/container-host.ts'
import { ContainerRunner } from '../container/container-runner.ts'
import { ContainerSandbox } from '../container/container-sandbox.ts'
import { ImageStore } from '../oci/image-store.ts'
import { ProcessRunner } from '../process/process-runner.ts'
import { ProcessSandbox } from '../process/process-sandbox.ts'
import type { Config } from './config.ts'
import type { DataFolder } from './data-folder.ts'
import { hostRootfs } from './host-rootfs.ts'

/** What starts instances and build steps on this host, and the image store with the file owners that it needs. */
export interface RunnerChoice {
  readonly runner: Runner
  readonly sandbox: Sandbox
  readonly images: ImageStore
}

export interface ChoiceOptions {
  readonly config: Config
  readonly folder: DataFolder
  readonly clock: Clock
  readonly log: Log
}

/** `auto`: containers where they work, else plain processes, saying why. @throws FairwayError RUNNER_UNAVAILABLE where containers are asked for */
export async function chooseRunner(options: ChoiceOptions): Promise<RunnerChoice> {
  const { config, log } = options
  if (config.runner === 'process') return processChoice(options)
  try {
    return await containerChoice(options)
  } catch (error) {
    if (config.runner === 'container') throw error
    log.warn(
      { why: String(error) },
      'no containers on this host: apps run as plain processes, without isolation',
    )
    return processChoice(options)
  }
}

async function containerChoice({
  config,
  folder,
  clock,
  log,
}: ChoiceOptions): Promise<RunnerChoice> {
  const host = await detectContainerHost(runFolder(folder.root))
  const images = await ImageStore.open({ root: folder.images, ownerOffset: host.ownerOffset, log })
  const runner = new ContainerRunner({
    dataDir: folder.root,
    host,
    images,
    logDir: folder.logs,
    subnet: config.subnet,
    clock,
    log,
  })
  const sandbox = new ContainerSandbox({ dataDir: folder.root, host, network: runner.network })
  return { runner, sandbox, images }
}

async function processChoice({ folder, clock, log }: ChoiceOptions): Promise<RunnerChoice> {
  const images = await ImageStore.open({ root: folder.images, log })
  const runner = new ProcessRunner({
    dataDir: folder.root,
    logDir: folder.logs,
    rootfs: hostRootfs(images, folder.root),
    clock,
    log,
  })
  return { runner, sandbox: new ProcessSandbox(), images }
}
