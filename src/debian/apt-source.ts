/** One suite of one archive, as apt's configuration names it (sources.list(5)). */
export interface AptSource {
  /** Base address with its scheme, without trailing slash. */
  readonly uri: string
  /** `bookworm`, `bookworm-security`; ends with `/` for a flat archive, which has no components. */
  readonly suite: string
  readonly components: readonly string[]
  /** Restricts the source to these architectures; absent = all. */
  readonly architectures?: readonly string[]
  /** Keyring files (binary or armoured) or armoured keys in place; absent = the host's trusted keyrings. */
  readonly signedBy?: readonly SigningKeys[]
  /** Default true. */
  readonly checkValidUntil?: boolean
  /** File and line it was read from, for messages. */
  readonly origin?: string
}

export type SigningKeys = { readonly file: string } | { readonly armored: string }
