export type DebianArchitecture = 'amd64' | 'arm64'

/** One binary package of a verified index. Equal by `sha256`. */
export interface DebianPackage {
  readonly name: string
  readonly version: string
  /** Of the package itself: the archive's architecture or `all`. */
  readonly architecture: DebianArchitecture | 'all'
  /** Source package, what vulnerability databases name; the same as `name` and `version` where the index names none. */
  readonly source: { readonly name: string; readonly version: string }
  /** Bytes of the .deb. */
  readonly size: number
  /** Hexadecimal SHA-256 of the .deb, from the signed index. */
  readonly sha256: string
  /** Absolute URL of the .deb. */
  readonly url: string
  readonly essential: boolean
  readonly priority: string
  /** The fields as they stand in the index, '' where absent. */
  readonly preDepends: string
  readonly depends: string
  readonly provides: string
  readonly conflicts: string
  readonly breaks: string
}
