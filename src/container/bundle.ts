import { seccompProfile } from './seccomp.ts'

/** What config.json of one container is made from. Paths of `binds` are the host's; users are numbers as seen inside. */
export interface BundleInput {
  readonly hostname: string
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly user: ContainerUser
  readonly rootfs: string
  /** Path of a prepared network namespace; null = a new one with nothing in it. */
  readonly netns: string | null
  readonly binds: readonly Bind[]
  readonly limits: { readonly cpu: number; readonly memory: number; readonly pids: number }
  /** Bytes of /tmp; its pages also count against the memory limit. */
  readonly tmpBytes: number
  /** Under the root of every cgroup hierarchy: `/fairway/<data directory>/<id>`. */
  readonly cgroupsPath: string
  readonly host: BundleHost
}

export interface BundleHost {
  readonly arch: string
  /** Host uid and gid of uid 0 inside; 0 = no user namespace. */
  readonly ownerOffset: number
  /** Whether the memory controller can limit swap. */
  readonly swapLimit: boolean
  /** Hard limit of open files of this process: nobody can be given more. */
  readonly openFiles: number
}

export interface ContainerUser {
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
}

export interface Bind {
  readonly source: string
  readonly destination: string
  readonly writable: boolean
  /** Default false: a user namespace may not take `noexec` away where the source is mounted so, as systemd mounts /run. */
  readonly executable?: boolean
}

/** Uids and gids that one container can use. */
export const OWNER_RANGE = 65_536

/** The runtime-spec document, hardened: no capabilities, no new privileges, read-only root, every limit set. */
export function bundleConfig(input: BundleInput): Record<string, unknown> {
  return {
    ociVersion: '1.0.2',
    hostname: input.hostname,
    root: { path: input.rootfs, readonly: true },
    process: processSpec(input),
    mounts: [...systemMounts(input), ...input.binds.map(bindMount)],
    linux: {
      namespaces: namespaces(input),
      ...(input.host.ownerOffset === 0 ? {} : idMappings(input.host.ownerOffset)),
      cgroupsPath: input.cgroupsPath,
      resources: resources(input),
      seccomp: seccompProfile(input.host.arch),
      maskedPaths: MASKED,
      readonlyPaths: READ_ONLY,
      rootfsPropagation: 'private',
    },
  }
}

/** The `process` part alone: what `runc exec --process` reads. */
export function processSpec(
  input: Pick<BundleInput, 'argv' | 'env' | 'cwd' | 'user' | 'host'> & {
    readonly terminal?: boolean
  },
): Record<string, unknown> {
  const files = Math.min(input.host.openFiles, OPEN_FILES)
  const none: string[] = []
  return {
    terminal: input.terminal ?? false,
    user: { uid: input.user.uid, gid: input.user.gid, additionalGids: input.user.groups },
    args: input.argv,
    env: Object.entries(input.env).map(([name, value]) => `${name}=${value}`),
    cwd: input.cwd,
    noNewPrivileges: true,
    capabilities: {
      bounding: none,
      effective: none,
      permitted: none,
      inheritable: none,
      ambient: none,
    },
    rlimits: [
      { type: 'RLIMIT_NOFILE', soft: files, hard: files },
      { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
    ],
    oomScoreAdj: OOM_SCORE,
  }
}

const OPEN_FILES = 65_536
/** Apps die before the platform where the whole host runs out of memory. */
const OOM_SCORE = 500
const CPU_PERIOD = 100_000

const MASKED = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
]

const READ_ONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger', '/sys']

function systemMounts(input: BundleInput): Record<string, unknown>[] {
  const tmp = (destination: string, mode: string, bytes: number, more: string[] = []) => ({
    destination,
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'nodev', ...more, `mode=${mode}`, `size=${Math.floor(bytes)}`],
  })
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'noexec', 'strictatime', 'mode=755', 'size=64k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    tmp('/dev/shm', '1777', input.limits.memory / 2, ['noexec']),
    {
      destination: '/dev/mqueue',
      type: 'mqueue',
      source: 'mqueue',
      options: ['nosuid', 'noexec', 'nodev'],
    },
    // Not sysfs: it needs a network namespace owned by the container's user namespace, and shows the host's hardware.
    tmp('/sys', '755', 65_536, ['noexec']),
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: ['nosuid', 'noexec', 'nodev', 'ro', 'relatime'],
    },
    tmp('/tmp', '1777', input.tmpBytes),
    tmp('/run', '1777', 16 << 20, ['noexec']),
  ]
}

function bindMount(bind: Bind): Record<string, unknown> {
  return {
    destination: bind.destination,
    type: 'bind',
    source: bind.source,
    options: [
      ...['bind', 'nosuid', 'nodev', bind.writable ? 'rw' : 'ro'],
      ...(bind.executable === true ? [] : ['noexec']),
    ],
  }
}

function namespaces(input: BundleInput): Record<string, unknown>[] {
  const own = ['mount', 'pid', 'ipc', 'uts', 'cgroup'].map((type) => ({ type }))
  const network =
    input.netns === null ? { type: 'network' } : { type: 'network', path: input.netns }
  return [...own, network, ...(input.host.ownerOffset === 0 ? [] : [{ type: 'user' }])]
}

function idMappings(offset: number): Record<string, unknown> {
  const map = [{ containerID: 0, hostID: offset, size: OWNER_RANGE }]
  return { uidMappings: map, gidMappings: map }
}

function resources(input: BundleInput): Record<string, unknown> {
  const { cpu, memory, pids } = input.limits
  return {
    devices: [{ allow: false, access: 'rwm' }],
    memory: { limit: memory, ...(input.host.swapLimit ? { swap: memory } : {}) },
    cpu: {
      shares: Math.max(2, Math.round(cpu * 1024)),
      quota: Math.max(1000, Math.round(cpu * CPU_PERIOD)),
      period: CPU_PERIOD,
    },
    pids: { limit: pids },
  }
}
