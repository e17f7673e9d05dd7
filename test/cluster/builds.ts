import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { access, mkdir, readdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { minimalEnv, run, runToEnd } from '../../src/lib/process.ts'

/** A Go module below `modules/` and the programs that are built from it. */
export interface Build {
  readonly module: string
  /** Program name -> package. */
  readonly programs: Readonly<Record<string, string>>
  /** The module whose version names the build; null for one that is all ours. */
  readonly versionOf: string | null
  /** Without the C library, so that it runs in an image of its own. */
  readonly isStatic: boolean
  /** Variables that the linker sets to the version. */
  readonly stamps?: (version: string) => Readonly<Record<string, string>>
}

export interface Built {
  readonly folder: string
  /** Without `v`; `0` where the module is ours. */
  readonly version: string
}

const KUBERNETES_PROGRAMS = [
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubelet',
  'kube-proxy',
  'kubectl',
] as const

export const BUILDS = {
  kubernetes: {
    module: 'kubernetes',
    programs: Object.fromEntries(
      KUBERNETES_PROGRAMS.map((name) => [name, `k8s.io/kubernetes/cmd/${name}`]),
    ),
    versionOf: 'k8s.io/kubernetes',
    isStatic: false,
    stamps: kubernetesStamps,
  },
  coredns: {
    module: 'coredns',
    programs: { coredns: 'github.com/coredns/coredns' },
    versionOf: 'github.com/coredns/coredns',
    isStatic: true,
  },
  metricsServer: {
    module: 'metrics-server',
    programs: { 'metrics-server': 'sigs.k8s.io/metrics-server/cmd/metrics-server' },
    versionOf: 'sigs.k8s.io/metrics-server',
    isStatic: true,
  },
  pause: { module: 'pause', programs: { pause: '.' }, versionOf: null, isStatic: true },
  contour: {
    module: 'contour',
    programs: { contour: 'github.com/projectcontour/contour/cmd/contour' },
    versionOf: 'github.com/projectcontour/contour',
    isStatic: true,
  },
  sops: {
    module: 'sops',
    programs: { sops: 'github.com/getsops/sops/v3/cmd/sops' },
    versionOf: 'github.com/getsops/sops/v3',
    isStatic: false,
  },
  spiffe: {
    module: 'spiffe',
    programs: { 'spiffe-client': '.' },
    versionOf: 'github.com/spiffe/go-spiffe/v2',
    isStatic: true,
  },
} as const satisfies Readonly<Record<string, Build>>

/** What a lab runs on its nodes. */
const OF_A_LAB: readonly Build[] = [
  BUILDS.kubernetes,
  BUILDS.coredns,
  BUILDS.metricsServer,
  BUILDS.pause,
]

/** Where builds are kept: below the user's cache folder. */
export function cacheFolder(env: Readonly<Record<string, string | undefined>>): string {
  const base = env['XDG_CACHE_HOME'] ?? join(env['HOME'] ?? '/root', '.cache')
  return join(base, 'fairway', 'cluster')
}

/**
 * The programs of a module, built unless the cache has them. The key is version, hashes of all modules and flags; builds of the same key wait for
 * each other. @throws ProgramError with Go's last words
 */
export async function build(
  wanted: Build,
  cache: string,
  say: (line: string) => void,
): Promise<Built> {
  const source = join(import.meta.dirname, 'modules', wanted.module)
  const version = await versionIn(source, wanted)
  const folder = join(cache, `${wanted.module}-${version}-${await keyOf(source, wanted)}`)
  await mkdir(folder, { recursive: true })
  for (const [program, target] of Object.entries(wanted.programs)) {
    const path = join(folder, program)
    if (await isExecutable(path)) continue
    say(`go build ${program} ${version}`)
    await compile({ source, target, path, flags: flagsOf(wanted, version), wanted })
  }
  return { folder, version }
}

/** False where every build is cached or Go is there, else what is missing. */
export async function lacksGo(
  cache: string,
  builds: readonly Build[] = OF_A_LAB,
): Promise<string | false> {
  for (const wanted of builds) {
    const source = join(import.meta.dirname, 'modules', wanted.module)
    const key = await keyOf(source, wanted)
    const folder = join(cache, `${wanted.module}-${await versionIn(source, wanted)}-${key}`)
    for (const program of Object.keys(wanted.programs)) {
      if (await isExecutable(join(folder, program))) continue
      return (await hasGo()) ? false : `needs Go to build ${program} (https://go.dev/doc/install)`
    }
  }
  return false
}

interface Compilation {
  readonly source: string
  readonly target: string
  readonly path: string
  readonly flags: string
  readonly wanted: Build
}

async function compile({ source, target, path, flags, wanted }: Compilation): Promise<void> {
  const draft = `${path}.${String(process.pid)}`
  const args = ['build', '-trimpath', '-buildvcs=false', '-ldflags', flags, '-o', draft, target]
  // The second of two builders finds Go's own cache warm.
  await run('flock', [`${path}.lock`, 'go', ...args], {
    cwd: source,
    env: { ...goEnvironment(), ...(wanted.isStatic ? { CGO_ENABLED: '0' } : {}) },
    timeoutMs: 3_600_000,
  })
  await rename(draft, path)
}

/** Everything that configures Go, and nothing else; the hashes in go.sum are committed, so no checksum database is asked. */
function goEnvironment(): Record<string, string> {
  const configured = Object.entries(process.env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && /^(GO[A-Z]+|XDG_.*|.*_proxy|.*_PROXY|SSL_CERT_.*)$/.test(entry[0]),
  )
  return { ...minimalEnv(), ...Object.fromEntries(configured), GOWORK: 'off' }
}

function flagsOf({ stamps }: Build, version: string): string {
  const set = Object.entries(stamps?.(version) ?? {}).map(([name, value]) => `-X ${name}=${value}`)
  return ['-s', '-w', ...set].join(' ')
}

function kubernetesStamps(version: string): Record<string, string> {
  const [major = '', minor = ''] = version.split('.')
  const values = { gitVersion: `v${version}`, gitMajor: major, gitMinor: minor }
  const packages = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version']
  return Object.fromEntries(
    packages.flatMap((name) =>
      Object.entries(values).map(([variable, value]) => [`${name}.${variable}`, value]),
    ),
  )
}

async function versionIn(source: string, { versionOf }: Build): Promise<string> {
  if (versionOf === null) return '0'
  const text = await readFile(join(source, 'go.mod'), 'utf8')
  for (const line of text.split('\n')) {
    const [name, version] = line
      .replace(/^require\s/, '')
      .trim()
      .split(/\s+/)
    if (name === versionOf && version?.startsWith('v') === true) return version.slice(1)
  }
  throw new Error(`${source}/go.mod does not require ${versionOf}`)
}

async function keyOf(source: string, wanted: Build): Promise<string> {
  const hash = createHash('sha256')
  for (const name of (await readdir(source)).sort()) {
    hash.update(`${name}\n`).update(await readFile(join(source, name)))
  }
  hash.update(flagsOf(wanted, 'any')).update(String(wanted.isStatic)).update(process.arch)
  return hash.digest('hex').slice(0, 12)
}

async function hasGo(): Promise<boolean> {
  try {
    return (await runToEnd('go', ['version'])).code === 0
  } catch {
    return false
  }
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
