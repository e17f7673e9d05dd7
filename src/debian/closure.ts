import type { DebFile } from './deb-file.ts'
import { DebianError } from './debian-error.ts'

export interface ElfRoot {
  /** Absolute path in the image. */
  readonly path: string
  /** Where its bytes are on this host. */
  readonly file: string
}

export interface ElfClosureOptions {
  /** The programs and libraries that must load; files which are no ELF objects are passed over. */
  readonly roots: readonly ElfRoot[]
  /** Files of packages to choose from, as `DebianArchive.files` gives them. */
  readonly provide: readonly DebFile[]
  /** Names of libraries that may stay unresolved, such as those of a graphical part that is never loaded. */
  readonly optional?: readonly string[]
}

export async function elfClosure(_options: ElfClosureOptions): Promise<readonly DebFile[]> {
  await Promise.resolve()
  throw new DebianError('LIBRARY_MISSING', 'being written')
}
