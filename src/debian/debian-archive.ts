import type { Log } from '../lib/log.ts'
import type { AptSource } from './apt-source.ts'
import type { DebFile } from './deb-file.ts'
import type { DebianArchitecture, DebianPackage } from './debian-package.ts'
import { DebianError } from './debian-error.ts'

export interface DebianArchiveOptions {
  readonly cacheDir: string
  readonly sources?: readonly AptSource[]
  readonly architecture?: DebianArchitecture
  readonly fetch?: typeof fetch
  readonly now?: () => number
  readonly log?: Log
}

export interface ResolveOptions {
  readonly exclude?: readonly string[]
  readonly recommends?: false
}

export interface PackageMetadata {
  readonly status: string
  readonly md5sums: string
}

/* eslint-disable */
export class DebianArchive {
  static open(options: DebianArchiveOptions): Promise<DebianArchive> {
    throw new DebianError('INDEX_INVALID', 'being written')
  }
  refresh(signal?: AbortSignal): Promise<void> {
    throw new DebianError('INDEX_INVALID', 'being written')
  }
  /** Refreshes only where the newest verified index is older than `maxAgeMs`. */
  ensureFresh(maxAgeMs: number, signal?: AbortSignal): Promise<void> {
    throw new DebianError('INDEX_INVALID', 'being written')
  }
  resolve(names: readonly string[], options?: ResolveOptions): Promise<readonly DebianPackage[]> {
    throw new DebianError('INDEX_INVALID', 'being written')
  }
  fetchPackage(pkg: DebianPackage, signal?: AbortSignal): Promise<string> {
    throw new DebianError('INDEX_INVALID', 'being written')
  }
  /** Downloads several at once. */
  fetchPackages(packages: readonly DebianPackage[], signal?: AbortSignal): Promise<void> {
    throw new DebianError('INDEX_INVALID', 'being written')
  }
  files(pkg: DebianPackage): Promise<readonly DebFile[]> {
    throw new DebianError('INDEX_INVALID', 'being written')
  }
  metadata(pkg: DebianPackage): Promise<PackageMetadata> {
    throw new DebianError('INDEX_INVALID', 'being written')
  }
  close(): void {}
}
