/** Where the bytes of a regular file are. `file` is an absolute path on this host, immutable once handed out. */
export type FileContent =
  | { readonly file: string; readonly size: number; readonly sha256: string }
  | { readonly bytes: Uint8Array }

interface Entry {
  /** Absolute, normalised: starts with `/`, no trailing slash, no `.` or `..`. The root folder itself is never listed. */
  readonly path: string
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Name of the package it came from; '' for a file that was made up. */
  readonly package: string
}

/** One entry of a package's file tree (or of a synthesised one). Device nodes and pipes do not occur: a .deb with one is refused. */
export type DebFile =
  | (Entry & { readonly type: 'folder' })
  | (Entry & { readonly type: 'file'; readonly content: FileContent })
  /** `target` as written in the link: relative to the link's folder, or absolute within the image. */
  | (Entry & { readonly type: 'symlink'; readonly target: string })
  /** `target` is the `path` of a regular file of the same package. */
  | (Entry & { readonly type: 'hardlink'; readonly target: string })
