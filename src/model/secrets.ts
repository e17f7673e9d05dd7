import { FairwayError } from './errors.ts'
import type { AppRef } from './names.ts'

/**
 * Bytes that nothing prints by accident: text, JSON and `util.inspect` show `[secret]`. `reveal` is the only way out, and a search for it finds every place
 * that has a value in its hands.
 */
export class Secret {
  readonly #bytes: Uint8Array

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** The bytes are kept as they are, not copied: the caller lets go of them. */
  static of(value: Uint8Array | string): Secret {
    return new Secret(typeof value === 'string' ? new TextEncoder().encode(value) : value)
  }

  /** Length in bytes. */
  get size(): number {
    return this.#bytes.length
  }

  reveal(): Uint8Array {
    return this.#bytes
  }

  /** As UTF-8 text. */
  revealText(): string {
    return new TextDecoder().decode(this.#bytes)
  }

  /** Whether the bytes are the same; takes as long for a difference at the start as for one at the end. */
  equals(other: Secret): boolean {
    const bytes = other.#bytes
    if (bytes.length !== this.#bytes.length) return false
    let difference = 0
    for (const [index, byte] of this.#bytes.entries()) difference |= byte ^ (bytes[index] ?? 0)
    return difference === 0
  }

  toString(): string {
    return SHOWN
  }

  toJSON(): string {
    return SHOWN
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return SHOWN
  }
}

const SHOWN = '[secret]'

/** Folders that an instance may have in memory. In a container they are `/run/<name>`; everywhere the variable `FAIRWAY_<NAME>` says where. */
export const PRIVATE_FOLDERS = ['secrets', 'identity'] as const
export type PrivateFolderName = (typeof PRIVATE_FOLDERS)[number]

/**
 * Files of one such folder, by name. Any payload that must not touch a disk travels this way: the values of a release (`secrets`), or what a workload proves
 * who it is with (`identity`: certificate, key, bundle). A new kind of payload is a new name in `PRIVATE_FOLDERS`; runners need no change.
 */
export interface PrivateFolder {
  readonly name: PrivateFolderName
  readonly files: ReadonlyMap<string, Secret>
}

/** What is done to a running instance when one of its values is another one: replaced, told by a signal after its files were swapped, or only given the files. */
export const ON_CHANGE = ['restart', 'signal', 'swap'] as const
export type OnChange = (typeof ON_CHANGE)[number]
export const RELOAD_SIGNALS = ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const
export type ReloadSignal = (typeof RELOAD_SIGNALS)[number]

/** Fingerprints, under the environment's key, of the values that can change while an instance runs; '' = it has none of the kind. Equal = nothing is to be done. */
export interface LiveVersion {
  /** Of the values that need another instance. */
  readonly restart: string
  /** Of the content of its files. */
  readonly files: string
  /** Of the values after whose change a signal is sent. */
  readonly signals: Readonly<Partial<Record<ReloadSignal, string>>>
}

/** What an instance is given at its start beside its `InstanceSpec`, which is stored: this is not, anywhere. */
export interface InstancePayload {
  readonly folders: readonly PrivateFolder[]
  /** Variables whose values are nobody's to read: only those that the app file asks for. */
  readonly env: ReadonlyMap<string, Secret>
  /** Fingerprint of the variables under the environment's key: equal = the same names with the same values. Absent = there are none. */
  readonly envVersion?: string
  /** Absent = none of it changes without a release. */
  readonly version?: LiveVersion
}

/** A file of the app's repository, encrypted: what SOPS wrote, as it is. */
export interface SecretDocument {
  /** In the app's folder, with `/`. */
  readonly path: string
  readonly text: string
}

/** A value of the encrypted files: `{ secret: NAME }`. */
export interface NamedReference {
  readonly kind: 'secret'
  /** Name of a file in the folder `secrets`. */
  readonly name: string
}

/** A value that Vault or OpenBao keeps or makes: `{ vault: path#key }`. */
export interface VaultReference {
  readonly kind: 'vault'
  /** As `vault kv get` or `vault read` takes it, without `data/`: `secret/shop/db`, `database/creds/shop`. */
  readonly path: string
  /** Which of the values there. */
  readonly key: string
}

/** A random value of the environment, under the name that the app file gives it: `{ generate: BYTES }`. */
export interface GeneratedReference {
  readonly kind: 'generated'
  readonly name: string
  /** How many random bytes. */
  readonly bytes: number
}

/** Where the value of a variable comes from, as the app file says it. Each kind but `secret` is understood by a `ValueSource`. */
export type SecretReference = NamedReference | VaultReference | GeneratedReference

/** What a value comes from that is in no file of the release. */
export type SourcedReference = Exclude<SecretReference, NamedReference>

/** All that a process of a release needs to be given its values; holds none of them, so it may be stored and compared. */
export interface SecretPlan {
  readonly documents: readonly SecretDocument[]
  /** Variable -> where its value comes from. */
  readonly env: Readonly<Record<string, SecretReference>>
  /** Name of a file in the folder `secrets` -> where its content comes from. Absent = none but those of the documents. */
  readonly files?: Readonly<Record<string, SourcedFile>>
}

/** Whether an instance of this plan has a folder `secrets`. */
export function hasSecretFiles(plan: SecretPlan | null | undefined): boolean {
  return plan != null && (plan.documents.length > 0 || plan.files !== undefined)
}

/** Where the values of a plan come from, for people: encrypted files by path, and paths of Vault. */
export function secretPlaces({ documents, env, files = {} }: SecretPlan): readonly string[] {
  const sourced = [...Object.values(env), ...Object.values(files)].flatMap((reference) =>
    reference.kind === 'vault' ? [`vault ${reference.path}`] : [],
  )
  return [...new Set([...documents.map(({ path }) => path), ...sourced])]
}

/** A file whose content comes from elsewhere, and what its change means to whoever reads it. */
export type SourcedFile = SourcedReference & {
  /** Absent = `restart`. */
  readonly onChange?: OnChange | undefined
  /** Sent where that is `signal`. Absent = SIGHUP. */
  readonly signal?: ReloadSignal | undefined
}

/** Most encrypted files of an environment, and most bytes of them together. */
export const MAX_SECRET_DOCUMENTS = 16
export const MAX_DOCUMENT_BYTES = 2 * 1024 * 1024
/** Most files of one folder in memory, and most bytes of them together. */
export const MAX_PRIVATE_FILES = 512
export const MAX_PRIVATE_BYTES = 1024 * 1024

const FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/

/** Whether a value of this name can be a file: no path, and not one of the names that begin with `..` by which a folder is swapped. */
export function isPrivateFileName(name: string): boolean {
  return FILE_NAME.test(name)
}

/** Why these files cannot be a folder in memory, for people, without any value; null where they can. */
export function refusedFolder({ name, files }: PrivateFolder): string | null {
  const wrong = [...files.keys()].find((file) => !isPrivateFileName(file))
  if (wrong !== undefined) {
    return `${JSON.stringify(wrong.slice(0, 80))} cannot be the name of a file: use at most 128 of A-Z, a-z, 0-9, _, . and -, without a dot in front`
  }
  if (files.size > MAX_PRIVATE_FILES) {
    return `${name} has ${String(files.size)} values, at most ${String(MAX_PRIVATE_FILES)} are given to an instance`
  }
  const bytes = [...files.values()].reduce((sum, { size }) => sum + size, 0)
  return bytes > MAX_PRIVATE_BYTES
    ? `the values of ${name} are ${String(bytes)} bytes together, at most ${String(MAX_PRIVATE_BYTES)} are given to an instance`
    : null
}

/** The bytes of a folder for the one place that writes them. @throws FairwayError SECRETS_INVALID as `refusedFolder` says */
export function revealedFiles(folder: PrivateFolder): ReadonlyMap<string, Uint8Array> {
  const refused = refusedFolder(folder)
  if (refused !== null) throw new FairwayError('SECRETS_INVALID', refused)
  return new Map([...folder.files].map(([name, secret]) => [name, secret.reveal()]))
}

/** The socket in the folder `identity` at which the server answers an instance: the SPIFFE Workload API. */
export const WORKLOAD_SOCKET = 'workload.sock'

/** Variables that tell an instance of a folder at this path. `SPIFFE_ENDPOINT_SOCKET` is what SPIFFE libraries look for. */
export function folderVariables(name: PrivateFolderName, path: string): Record<string, string> {
  const socket = { SPIFFE_ENDPOINT_SOCKET: `unix://${path}/${WORKLOAD_SOCKET}` }
  return {
    [`FAIRWAY_${name.toUpperCase()}`]: path,
    ...(name === 'identity' ? socket : {}),
  }
}

/** What is written of a payload beside an instance: names. */
export function payloadNames(payload: InstancePayload): {
  readonly privateFolders: readonly PrivateFolderName[]
  readonly privateEnv: readonly string[]
} {
  return {
    privateFolders: payload.folders.map(({ name }) => name),
    privateEnv: [...payload.env.keys()].sort(),
  }
}

/**
 * The keys that environments are known by to the authors of encrypted files. The private half is kept encrypted under a key that is not in the store, so all
 * servers of one store need that key.
 */
export interface EnvironmentKeys {
  /**
   * The public half, for `.sops.yaml`: an age recipient. Made where the environment has none yet; all servers of a store answer the same.
   * @throws FairwayError SECRETS_CLOSED where this server does not have the key that it is encrypted under
   */
  recipient(ref: AppRef): Promise<string>
  /** The private half, an age identity; null where there is none. @throws FairwayError as `recipient` */
  identity(ref: AppRef): Promise<Secret | null>
}

/** A key of the transit engine of Vault or OpenBao. */
export interface TransitKey {
  /** Where the engine is mounted: `transit`, `team/transit`. */
  readonly mount: string
  readonly name: string
}

/** Opens what was encrypted under such keys, by a login that is the server's own: keys never leave Vault. */
export interface TransitKeys {
  /** @throws FairwayError SECRETS_CLOSED with what Vault says, VAULT_UNAVAILABLE; never with what was decrypted */
  decrypt(key: TransitKey, ciphertext: string): Promise<Secret>
}

/** Opens the plans of releases. Values go to the runner and nowhere else. */
export interface ReleaseSecrets {
  /**
   * All values of a plan, checked: names, limits, every reference. Called before anything is baked, and again for each instance that starts.
   * @throws FairwayError SECRETS_CLOSED with the command that lets the environment in, SECRETS_INVALID, SECRETS_TAMPERED
   */
  open(ref: AppRef, plan: SecretPlan): Promise<InstancePayload>
  /**
   * Yields how the values of a plan fare, now and after every change, until the signal aborts; ends at once where none of them can change. While somebody
   * watches, leases are kept; when nobody does any more, they are given back.
   */
  watch(ref: AppRef, plan: SecretPlan, signal: AbortSignal): AsyncIterable<ValueState>
  /** What would become of the values, by name: `+ secret API_KEY`, `~ secret DB_PASSWORD`, `- secret OLD`. Values are compared and not shown. @throws as `open` */
  changes(ref: AppRef, before: SecretPlan | null, after: SecretPlan): Promise<readonly string[]>
}

/** Random values that the platform made for environments. Nobody is ever shown one. */
export interface GeneratedSecrets {
  /** New values in the place of these; whoever runs with the old ones follows as the app file says. @throws FairwayError SECRETS_CLOSED */
  rotate(ref: AppRef, references: readonly GeneratedReference[]): Promise<void>
}

/** What an engine needs of them. */
export type InstanceSecrets = Pick<ReleaseSecrets, 'open' | 'watch'>

/**
 * Another place that values come from at the start of an instance, such as a vault. `ReleaseSecrets` hands it the references of its kind and adds what it
 * answers to the payload.
 */
export interface ValueSource<Reference extends SourcedReference = SourcedReference> {
  readonly kind: Reference['kind']
  /**
   * One value per reference, in their order.
   * @throws FairwayError SECRETS_CLOSED (not for this environment), SECRETS_INVALID (nothing there), VAULT_UNAVAILABLE
   */
  open(ref: AppRef, references: readonly Reference[]): Promise<readonly Secret[]>
  /** As `ReleaseSecrets.watch`, for these references. */
  watch(
    ref: AppRef,
    references: readonly Reference[],
    signal: AbortSignal,
  ): AsyncIterable<ValueState>
}

/** How values fare that are not fixed by a release. */
export interface ValueState {
  /** Another number than before = a value is another one. */
  readonly revision: number
  /** Why values cannot be looked at, or leases not be kept, now; for people. Null = all is well. */
  readonly trouble: string | null
}

/** Values that belong to an environment and not to one of its releases, kept encrypted under the environment's key. They go with the app. */
export interface EnvironmentValues {
  /** Null where there is none. @throws FairwayError SECRETS_CLOSED, SECRETS_TAMPERED */
  get(ref: AppRef, name: string): Promise<Secret | null>
  /** Keeps it where there is none, and returns the one that is kept. @throws as `get` */
  add(ref: AppRef, name: string, value: Secret): Promise<Secret>
  /** In the place of the one that is there, if any. @throws as `get` */
  replace(ref: AppRef, name: string, value: Secret): Promise<void>
  remove(ref: AppRef, name: string): Promise<void>
  /** Names of all environments that begin so. */
  list(prefix: string): Promise<readonly { readonly ref: AppRef; readonly name: string }[]>
  /** HMAC-SHA256 under the environment's key, hex: tells whether values are the same to whoever has them not. @throws as `get` */
  fingerprint(ref: AppRef, text: string): Promise<string>
}
