import { symlink, writeFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { withPort } from '../lib/port-argument.ts'
import { FairwayError } from '../model/errors.ts'
import type { InstanceSpec } from '../model/instance.ts'
import { folderVariables, type InstancePayload } from '../model/secrets.ts'
import { bundleConfig, type ContainerUser } from './bundle.ts'
import { cgroupPath, type ContainerHost } from './container-host.ts'
import type { InstanceFolder } from './instance-folder.ts'
import type { Lease } from './network.ts'
import { executableInRoot } from './path-in-root.ts'
import { pathInside, PrivateFolders } from './private-folders.ts'

export interface InstanceBundle {
  readonly runDir: string
  readonly spec: InstanceSpec
  readonly folder: InstanceFolder
  readonly host: ContainerHost
  readonly lease: Lease
  readonly user: ContainerUser
  readonly port: number | null
  readonly gateway: string
  readonly privateEnv: InstancePayload['env']
}

/** Writes config.json and the files that tell the instance who and where it is. */
export async function writeBundle(input: InstanceBundle): Promise<void> {
  const { spec, folder, lease, gateway, port, privateEnv } = input
  const files = [
    { name: 'hosts', text: `127.0.0.1 localhost\n${lease.address} ${spec.id}\n` },
    { name: 'resolv.conf', text: `nameserver ${gateway}\noptions timeout:2 attempts:2\n` },
    { name: 'hostname', text: `${spec.id}\n` },
  ]
  const env = environment(input)
  const cwd = workingFolder(spec.image.workingDir)
  const command = withPort(spec.argv, port)
  const { init } = input.host
  if (init !== null) await checkCommand(folder.rootfs, command[0] ?? '', { env, cwd })
  const config = bundleConfig({
    hostname: spec.id,
    argv: init === null ? command : [INIT, '--', ...command],
    env,
    cwd,
    user: input.user,
    rootfs: folder.rootfs,
    netns: lease.netns,
    binds: [
      ...files.map(({ name }) => ({
        source: join(folder.bundle, name),
        destination: `/etc/${name}`,
        writable: false,
      })),
      ...(init === null
        ? []
        : [{ source: init, destination: INIT, writable: false, executable: true }]),
      ...new PrivateFolders(folder.private).binds(spec.privateFolders ?? []),
    ],
    limits: spec.resources,
    tmpBytes: spec.resources.memory / 2,
    cgroupsPath: cgroupPath(input.runDir, spec.id),
    host: input.host,
  })
  await Promise.all([
    ...files.map(({ name, text }) => writeFile(join(folder.bundle, name), text, { mode: 0o644 })),
    writeConfig(folder, JSON.stringify(config), privateEnv.size > 0),
  ])
}

/** A configuration with values that are nobody's to read stays in memory; the runtime finds it by a link. */
async function writeConfig(folder: InstanceFolder, text: string, isPrivate: boolean) {
  const place = join(folder.bundle, 'config.json')
  const file = isPrivate ? join(folder.private, 'config.json') : place
  await writeFile(file, text, { mode: 0o600 })
  if (isPrivate) await symlink(file, place)
}

/**
 * Pid 1: hands signals on, reaps what nobody waits for. Without it an app would be pid 1 itself, to which the kernel delivers
 * no signal that it does not handle, and most apps were not written for that.
 */
const INIT = '/run/fairway/init'

/** A runtime would say so by itself, but it only sees the init. */
async function checkCommand(
  rootfs: string,
  command: string,
  { env, cwd }: { readonly env: Readonly<Record<string, string>>; readonly cwd: string },
): Promise<void> {
  const path = env['PATH'] ?? DEFAULT_PATH
  if ((await executableInRoot(rootfs, command, { path, cwd })) !== null) return
  throw new FairwayError(
    'INSTANCE_FAILED',
    `the image has no program ${JSON.stringify(command)}${command.includes('/') ? '' : ` in ${path}`}`,
  )
}

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

function environment({ spec, port, privateEnv }: InstanceBundle): Record<string, string> {
  return {
    PATH: DEFAULT_PATH,
    HOME: '/tmp',
    HOSTNAME: spec.id,
    ...spec.image.env,
    ...spec.env,
    ...Object.fromEntries([...privateEnv].map(([name, value]) => [name, value.revealText()])),
    ...Object.fromEntries(
      (spec.privateFolders ?? []).flatMap((name) =>
        Object.entries(folderVariables(name, pathInside(name))),
      ),
    ),
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
