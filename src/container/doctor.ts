import { mkdir, readFile, statfs } from 'node:fs/promises'
import { totalmem, release } from 'node:os'
import { createServer } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { isMissing, readIfExists } from '../lib/atomic-file.ts'
import { runToEnd } from '../lib/process.ts'
import type { Clock } from '../model/clock.ts'
import type { HostCheck, HostDoctor } from '../model/host.ts'
import { cgroupVersion, describeTrial, runFolder, tryAllRuntimes } from './container-host.ts'
import { blockingChains } from './foreign-firewall.ts'
import { CNI_FOLDERS, programPath } from './program-path.ts'
import { knownProblems } from './runtime-version.ts'
import { DEFAULT_SUBNET, networkName, parseSubnet } from './subnet.ts'

export interface DoctorOptions {
  readonly dataDir: string
  readonly clock: Clock
  /** Ports that server and router want. */
  readonly ports: readonly number[]
  /** True where what listens on the port is this platform; default: nothing is. */
  readonly isOurs?: (port: number) => Promise<boolean>
  readonly nodeVersion?: string
  /** Addresses of instances; default as the runner's. */
  readonly subnet?: string
}

const MEBIBYTE = 1 << 20
const OLDEST_KERNEL = [4, 18]
const OLDEST_NODE = 20
/** No correct clock shows a time before this program was written. */
const EARLIEST = Date.UTC(2026, 0, 1)

/** Looks at this machine with containers in mind, and installs what a Debian or Ubuntu lacks for them. */
export class ContainerDoctor implements HostDoctor {
  readonly #options: DoctorOptions

  constructor(options: DoctorOptions) {
    this.#options = options
  }

  async check(): Promise<readonly HostCheck[]> {
    const [container, space, ports] = await Promise.all([
      this.#container(),
      this.#space(),
      Promise.all(this.#options.ports.map((port) => this.#port(port))),
    ])
    return [...this.#system(), ...container, ...space, ...ports]
  }

  async fix(say: (line: string) => void): Promise<readonly HostCheck[]> {
    const before = await this.check()
    const packages = await missingPackages()
    const reason = packages.length === 0 ? null : await cannotInstall()
    if (packages.length > 0 && reason !== null) {
      say(`cannot install ${packages.join(', ')}: ${reason}`)
    } else if (packages.length > 0) {
      say(`installing from this distribution: ${packages.join(' ')}`)
      const problem = await install(packages)
      if (problem !== null) say(`could not install them: ${problem}`)
    }
    return packages.length === 0 ? before : await this.check()
  }

  #system(): HostCheck[] {
    const { clock, nodeVersion = process.versions.node } = this.#options
    const kernel = release()
    const [major = 0, minor = 0] = kernel.split('.').map(Number)
    const [oldMajor = 0, oldMinor = 0] = OLDEST_KERNEL
    const linux = process.platform === 'linux'
    const fresh = major > oldMajor || (major === oldMajor && minor >= oldMinor)
    const node = Number(nodeVersion.split('.')[0])
    return [
      verdict(
        'kernel',
        linux && fresh ? 'ok' : 'warn',
        linux ? `Linux ${kernel}` : `${process.platform}: no containers here`,
      ),
      verdict('node', node >= OLDEST_NODE ? 'ok' : 'fail', `Node ${nodeVersion}`),
      verdict(
        'clock',
        clock.now() > EARLIEST ? 'ok' : 'fail',
        `it is ${new Date(clock.now()).toISOString()}`,
      ),
    ]
  }

  async #container(): Promise<HostCheck[]> {
    if (process.platform !== 'linux') return []
    const root = process.getuid?.() === 0
    const packages = await missingPackages()
    const fix = packages.length === 0 ? null : `apt-get install ${packages.join(' ')}`
    const overlay = ((await readIfExists('/proc/filesystems')) ?? '').includes('overlay')
    return [
      verdict(
        'root',
        root ? 'ok' : 'warn',
        root ? 'runs as root' : 'not root: no containers, so instances run without isolation',
      ),
      ...(await programChecks(fix)),
      verdict('cgroups', 'ok', `cgroup ${await cgroupVersion()}`),
      // A module that is not loaded yet is loaded by the first mount.
      verdict('overlayfs', 'ok', overlay ? 'available' : 'loaded when it is first used'),
      ...(root ? await this.#runtimes(fix) : []),
      ...(root ? await this.#firewall() : []),
    ]
  }

  /** Docker and ufw drop by default what they do not know: instances would have no DNS, no way to each other and none to the world outside. */
  async #firewall(): Promise<HostCheck[]> {
    const nft = await programPath('nft')
    if (nft === null) return []
    const ruleset = await runToEnd(nft, ['-j', 'list', 'ruleset'])
    if (ruleset.code !== 0) return []
    const bridge = `${networkName(parseSubnet(this.#options.subnet ?? DEFAULT_SUBNET))}0`
    const chains = blockingChains(ruleset.stdout, bridge)
    if (chains.length === 0)
      return [verdict('firewall', 'ok', `nothing drops what ${bridge} needs`)]
    return chains.map(({ hook, name, repair }) => {
      const lost = hook === 'input' ? 'DNS and calls between apps' : 'the world outside'
      const how = repair ?? `let it accept packets from ${bridge}`
      return verdict('firewall', 'warn', `${name} drops what apps send to ${lost}: ${how}`)
    })
  }

  async #runtimes(fix: string | null): Promise<HostCheck[]> {
    const folder = runFolder(this.#options.dataDir)
    await mkdir(folder, { recursive: true, mode: 0o711 })
    const trials = await tryAllRuntimes(folder)
    const works = trials.find(({ problem }) => problem === null)
    if (works === undefined) {
      const said = trials.map(describeTrial).join('; ') || 'neither runc nor crun is installed'
      return [{ name: 'container runtime', status: 'fail', message: said, fix }]
    }
    const others = trials.filter(
      ({ problem, ownerOffset }) => problem !== null && ownerOffset === works.ownerOffset,
    )
    const version = await runToEnd(works.runtime.path, ['--version'])
    const name = version.stdout.split('\n')[0] ?? works.runtime.name
    const aside = others.map((trial) => ` (${describeTrial(trial)})`).join('')
    const changelog = await packageChangelog(works.runtime.name)
    const problems = knownProblems(works.runtime.name, name, changelog)
    const mapped = works.ownerOffset > 0
    return [
      verdict('container runtime', 'ok', `${name} starts containers here${aside}`),
      ...(problems.length === 0
        ? []
        : [
            verdict(
              'runtime security',
              'warn',
              `${name} may lack the repairs of ${problems.join(', ')}: keep it up to date`,
            ),
          ]),
      verdict(
        'user namespaces',
        mapped ? 'ok' : 'warn',
        mapped ? 'root inside is nobody outside' : 'not usable here: apps run as uid 65532 instead',
      ),
    ]
  }

  async #space(): Promise<HostCheck[]> {
    const memory = totalmem() / MEBIBYTE
    const free = await freeSpace(this.#options.dataDir)
    const gib = (mebibytes: number): string => `${(mebibytes / 1024).toFixed(1)} GiB`
    return [
      verdict('memory', memory < 900 ? 'warn' : 'ok', gib(memory)),
      verdict(
        'disk space',
        free < 500 ? 'fail' : free < 5000 ? 'warn' : 'ok',
        `${gib(free)} free for ${this.#options.dataDir}`,
      ),
    ]
  }

  async #port(port: number): Promise<HostCheck> {
    const name = `port ${String(port)}`
    if (await isFree(port)) return verdict(name, 'ok', 'free')
    const ours = (await this.#options.isOurs?.(port)) ?? false
    return ours
      ? verdict(name, 'ok', 'Fairway listens there')
      : verdict(name, 'fail', 'another program listens there: end it, or choose another port')
  }
}

interface Need {
  readonly name: string
  readonly programs: readonly string[]
  readonly folders?: readonly string[]
  readonly package: string
  readonly optional?: boolean
}

const NEEDS: readonly Need[] = [
  { name: 'runc or crun', programs: ['crun', 'runc'], package: 'runc' },
  { name: 'conmon', programs: ['conmon'], package: 'conmon' },
  {
    name: 'CNI plugins',
    programs: ['bridge'],
    folders: CNI_FOLDERS,
    package: 'containernetworking-plugins',
  },
  { name: 'nftables', programs: ['nft'], package: 'nftables' },
  { name: 'iproute2', programs: ['ip'], package: 'iproute2' },
  { name: 'xz', programs: ['xz'], package: 'xz-utils' },
  { name: 'tini', programs: ['tini-static'], package: 'tini', optional: true },
]

async function present(need: Need): Promise<string | null> {
  for (const program of need.programs) {
    const path = await programPath(program, need.folders)
    if (path !== null) return path
  }
  return null
}

async function missingPackages(): Promise<readonly string[]> {
  if (process.platform !== 'linux') return []
  const found = await Promise.all(NEEDS.map(present))
  const packages = NEEDS.filter((_, index) => found[index] === null).map((need) => need.package)
  // crun alone is not enough where it refuses the host's cgroups.
  const needsRunc = (await cgroupVersion()) === 'v1' && (await programPath('runc')) === null
  return needsRunc && !packages.includes('runc') ? ['runc', ...packages] : packages
}

/** Debian's own notes on a package, which name the repairs that its version number does not show; '' where there are none. */
async function packageChangelog(name: string): Promise<string> {
  try {
    const packed = await readFile(`/usr/share/doc/${name}/changelog.Debian.gz`)
    return gunzipSync(packed, { maxOutputLength: 8 * MEBIBYTE }).toString('utf8')
  } catch (error) {
    if (isMissing(error)) return ''
    throw error
  }
}

async function programChecks(fix: string | null): Promise<HostCheck[]> {
  return await Promise.all(
    NEEDS.map(async (need): Promise<HostCheck> => {
      const path = await present(need)
      if (path !== null) return { name: need.name, status: 'ok', message: path, fix: null }
      const optional = need.optional === true
      const message = optional
        ? 'not installed: apps without a signal handler are only ended after their grace period'
        : 'not installed'
      return { name: need.name, status: optional ? 'warn' : 'fail', message, fix }
    }),
  )
}

/** Null where packages can be installed here; else why not. */
async function cannotInstall(): Promise<string | null> {
  if (process.getuid?.() !== 0) return 'this is not root'
  if ((await programPath('apt-get')) === null) return 'this is not a Debian or Ubuntu'
  return null
}

async function install(packages: readonly string[]): Promise<string | null> {
  const env = {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    DEBIAN_FRONTEND: 'noninteractive',
    LANG: 'C',
  }
  const options = { env, timeoutMs: 10 * 60_000 }
  const args = ['install', '--yes', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120']
  const first = await runToEnd('apt-get', [...args, ...packages], options)
  if (first.code === 0) return null
  // The lists may be missing, as on a fresh machine, or too old.
  await runToEnd('apt-get', ['update'], options)
  const second = await runToEnd('apt-get', [...args, ...packages], options)
  return second.code === 0 ? null : (second.stderr.trim().split('\n').at(-1) ?? 'apt-get failed')
}

/** Mebibytes; of the nearest folder above that exists. */
async function freeSpace(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder)
    return (bavail * bsize) / MEBIBYTE
  } catch (error) {
    const parent = folder.replace(/\/[^/]*$/, '')
    if (!isMissing(error) || parent === folder) throw error
    return await freeSpace(parent === '' ? '/' : parent)
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      server.close(() => resolve(true))
    })
  })
}

function verdict(name: string, status: HostCheck['status'], message: string): HostCheck {
  return { name, status, message, fix: null }
}
