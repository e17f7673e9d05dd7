import { writeFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { FairwayError } from '../model/errors.ts'
import type { InstanceSpec } from '../model/instance.ts'
import { expandPort } from '../model/port-argument.ts'
import { bundleConfig, type ContainerUser } from './bundle.ts'
import type { ContainerHost } from './container-host.ts'
import type { InstanceFolder } from './instance-folder.ts'
import type { Lease } from './network.ts'

export interface InstanceBundle {
  readonly spec: InstanceSpec
  readonly folder: InstanceFolder
  readonly host: ContainerHost
  readonly lease: Lease
  readonly user: ContainerUser
  readonly port: number | null
  readonly gateway: string
}

/** Writes config.json and the files that tell the instance who and where it is. */
export async function writeBundle(input: InstanceBundle): Promise<void> {
  const { spec, folder, lease, gateway, port } = input
  const files = [
    { name: 'hosts', text: `127.0.0.1 localhost\n${lease.address} ${spec.id}\n` },
    { name: 'resolv.conf', text: `nameserver ${gateway}\noptions timeout:2 attempts:2\n` },
    { name: 'hostname', text: `${spec.id}\n` },
  ]
  const config = bundleConfig({
    hostname: spec.id,
    argv: port === null ? spec.argv : expandPort(spec.argv, port),
    env: environment(input),
    cwd: workingFolder(spec.image.workingDir),
    user: input.user,
    rootfs: folder.rootfs,
    netns: lease.netns,
    binds: files.map(({ name }) => ({
      source: join(folder.bundle, name),
      destination: `/etc/${name}`,
      writable: false,
    })),
    limits: spec.resources,
    tmpBytes: spec.resources.memory / 2,
    cgroupsPath: `/fairway/${spec.id}`,
    host: input.host,
  })
  await Promise.all([
    ...files.map(({ name, text }) => writeFile(join(folder.bundle, name), text, { mode: 0o644 })),
    writeFile(join(folder.bundle, 'config.json'), JSON.stringify(config), { mode: 0o600 }),
  ])
}

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

function environment({ spec, port }: InstanceBundle): Record<string, string> {
  return {
    PATH: DEFAULT_PATH,
    HOME: '/tmp',
    HOSTNAME: spec.id,
    ...spec.image.env,
    ...spec.env,
    ...(port === null ? {} : { PORT: String(port) }),
  }
}

/** WORKDIR is text that a stranger wrote: CVE-2024-21626 led out of the container through it. */
export function workingFolder(text: string): string {
  const path = posix.normalize(text === '' ? '/' : text)
  if (!path.startsWith('/') || /^\/(?:proc|sys|dev)(?:\/|$)/.test(path)) {
    throw new FairwayError(
      'INSTANCE_FAILED',
      `working folder ${JSON.stringify(text)} is not allowed`,
    )
  }
  return path
}
