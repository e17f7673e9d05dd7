/** How one of Node's package managers installs from its lockfile. All are fetched as npm packages of a pinned version. */
export interface PackageManager {
  readonly name: 'npm' | 'yarn' | 'pnpm'
  readonly version: string
  /** Script to run with node, inside `node_modules/<name>`. */
  readonly script: string
  readonly lockfiles: readonly string[]
  /** Without install scripts: those run afterwards, without the shared cache. */
  install(options: { readonly production: boolean }): readonly string[]
  /** Drops development dependencies from an installed tree; null where the manager cannot. */
  readonly prune: readonly string[] | null
  /** Environment that moves its cache to this folder. */
  cacheEnv(folder: string): Readonly<Record<string, string>>
  /** Files of the manager's own bookkeeping in node_modules that hold times or paths of this host. */
  readonly bookkeeping: readonly string[]
}

/** Pinned: the manager's version is a part of the key of every dependency layer. npm 11 needs Node 20.17 or 22.9. */
export function npmFor(nodeMajor: number): PackageManager {
  return {
    name: 'npm',
    version: nodeMajor >= 20 ? '11.19.1' : '10.9.9',
    script: 'bin/npm-cli.js',
    lockfiles: ['package-lock.json', 'npm-shrinkwrap.json'],
    install: ({ production }) => [
      'ci',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      ...(production ? ['--omit=dev'] : ['--include=dev']),
    ],
    prune: ['prune', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund'],
    cacheEnv: (folder) => ({ npm_config_cache: folder }),
    bookkeeping: ['.cache'],
  }
}

const YARN: PackageManager = {
  name: 'yarn',
  version: '1.22.22',
  script: 'bin/yarn.js',
  lockfiles: ['yarn.lock'],
  install: ({ production }) => [
    'install',
    '--frozen-lockfile',
    '--ignore-scripts',
    '--non-interactive',
    '--no-progress',
    `--production=${String(production)}`,
  ],
  prune: null,
  cacheEnv: (folder) => ({ YARN_CACHE_FOLDER: folder }),
  bookkeeping: ['.cache', '.yarn-integrity'],
}

const PNPM: PackageManager = {
  name: 'pnpm',
  version: '10.34.8',
  script: 'bin/pnpm.cjs',
  lockfiles: ['pnpm-lock.yaml'],
  install: ({ production }) => [
    'install',
    '--frozen-lockfile',
    '--ignore-scripts',
    '--package-import-method=copy',
    '--reporter=append-only',
    ...(production ? ['--prod'] : []),
  ],
  prune: ['prune', '--prod', '--ignore-scripts'],
  cacheEnv: (folder) => ({ npm_config_store_dir: `${folder}/store`, npm_config_cache_dir: folder }),
  bookkeeping: [
    '.cache',
    '.modules.yaml',
    '.pnpm-workspace-state.json',
    '.pnpm-workspace-state-v1.json',
  ],
}

/** Null for a lockfile that belongs to none of them. */
export function packageManagerFor(lockfile: string, nodeMajor: number): PackageManager | null {
  const name = lockfile.slice(lockfile.lastIndexOf('/') + 1)
  const all = [npmFor(nodeMajor), YARN, PNPM]
  return all.find((manager) => manager.lockfiles.includes(name)) ?? null
}
