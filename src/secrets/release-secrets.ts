import { FairwayError } from '../model/errors.ts'
import type { AppRef } from '../model/names.ts'
import {
  MAX_DOCUMENT_BYTES,
  hasSecretFiles,
  MAX_SECRET_DOCUMENTS,
  refusedFolder,
  type EnvironmentValues,
  type InstancePayload,
  type PrivateFolder,
  type ReleaseSecrets,
  type Secret,
  type SecretDocument,
  type SecretPlan,
  type ValueSource,
  type ValueState,
} from '../model/secrets.ts'
import { SopsError } from '../sops/sops-error.ts'
import type { DocumentKeys } from './document-keys.ts'
import { documentValues } from './document-values.ts'
import { LiveVersions } from './live-versions.ts'
import { SourcedValues } from './sourced-values.ts'

/** Where values come from that are in no release. */
export interface LiveSources {
  readonly sources: readonly ValueSource[]
  readonly values: Pick<EnvironmentValues, 'fingerprint'>
}

/** Opens the encrypted files of a release with the key of its environment, and asks sources for what comes from elsewhere. Keeps nothing that it opened. */
export class SopsReleaseSecrets implements ReleaseSecrets {
  readonly #keys: DocumentKeys
  readonly #sources: SourcedValues
  readonly #versions: LiveVersions | null

  /** @param live one source per kind of reference beside `secret`, and who tells values apart; absent = there is no other kind */
  constructor(keys: DocumentKeys, live: LiveSources | null = null) {
    this.#keys = keys
    this.#sources = new SourcedValues(live?.sources ?? [])
    this.#versions = live === null ? null : new LiveVersions(live.values)
  }

  async open(ref: AppRef, plan: SecretPlan): Promise<InstancePayload> {
    const named = await this.#values(ref, plan.documents)
    const sourced = await this.#sources.open(ref, plan)
    const files = withSourced(named, sourced.files)
    const env = Object.entries(plan.env).map(([variable, reference]) => {
      const value =
        reference.kind === 'secret' ? named.get(reference.name) : sourced.env.get(variable)
      if (value !== undefined) return [variable, checkedVariable(variable, value)] as const
      const name = reference.kind === 'secret' ? reference.name : variable
      throw new FairwayError(
        'SECRETS_INVALID',
        `env.${variable} asks for the secret ${name}, which no file of the environment ${ref.environment} has`,
        { hint: `Add it with \`fairway secrets set ${name}=- --env ${ref.environment}\`.` },
      )
    })
    const folders = hasSecretFiles(plan) ? [checkedFolder(ref, files)] : []
    const version = await this.#versions?.of(ref, plan, sourced)
    const envVersion = await this.#versions?.ofEnv(ref, new Map(env))
    return {
      folders,
      env: new Map(env),
      ...(envVersion === undefined ? {} : { envVersion }),
      ...(version === undefined ? {} : { version }),
    }
  }

  watch(ref: AppRef, plan: SecretPlan, signal: AbortSignal): AsyncIterable<ValueState> {
    return this.#sources.watch(ref, plan, signal)
  }

  async changes(
    ref: AppRef,
    before: SecretPlan | null,
    after: SecretPlan,
  ): Promise<readonly string[]> {
    const old = await this.#known(ref, before?.documents ?? [])
    const now = await this.#values(ref, after.documents)
    if (old === null) return ['~ secrets (those that run cannot be opened any more)']
    return [...new Set([...old.keys(), ...now.keys()])].sort().flatMap((name) => {
      const [was, is] = [old.get(name), now.get(name)]
      if (was === undefined) return [`+ secret ${name}`]
      if (is === undefined) return [`- secret ${name}`]
      return was.equals(is) ? [] : [`~ secret ${name}`]
    })
  }

  /** What runs may have been encrypted for a key that is no more: that must not stop what replaces it. */
  async #known(
    ref: AppRef,
    documents: readonly SecretDocument[],
  ): Promise<ReadonlyMap<string, Secret> | null> {
    try {
      return await this.#values(ref, documents)
    } catch (error) {
      if (error instanceof FairwayError && error.code === 'SECRETS_CLOSED') return null
      throw error
    }
  }

  async #values(
    ref: AppRef,
    documents: readonly SecretDocument[],
  ): Promise<ReadonlyMap<string, Secret>> {
    if (documents.length === 0) return new Map()
    checkSize(documents)
    const openers = await this.#keys.openers(ref)
    const files = new Map<string, Secret>()
    const origin = new Map<string, string>()
    for (const document of documents) {
      const values = await documentValues(document, openers).catch(async (error: unknown) => {
        throw await this.#withRepair(error, ref, document.path)
      })
      for (const [name, value] of values) {
        const other = origin.get(name)
        if (other !== undefined)
          throw new FairwayError(
            'SECRETS_INVALID',
            `${name} is in ${other} and in ${document.path}`,
          )
        origin.set(name, document.path)
        files.set(name, value)
      }
    }
    return checkedFolder(ref, files).files
  }

  async #withRepair(error: unknown, ref: AppRef, path: string): Promise<unknown> {
    if (!(error instanceof FairwayError) || error.code !== 'SECRETS_CLOSED') return error
    const { app, environment } = ref
    const refused = serviceError(error)
    const what = `${path}: the environment ${environment} of ${app} cannot open it`
    if (refused !== null)
      return new FairwayError(
        refused.cause instanceof FairwayError ? refused.cause.code : 'SECRETS_CLOSED',
        `${what}: ${refused.message}`,
        { cause: error, hint: SERVICE_HINT },
      )
    const command = `fairway secrets recipients add --app ${app} --env ${environment} --file ${path}`
    const key = await this.#keys.recipient(ref)
    return new FairwayError('SECRETS_CLOSED', `${what}, its key ${key} is no recipient`, {
      cause: error,
      hint: `Let it in with \`${command}\`, then deploy again.`,
    })
  }
}

const SERVICE_HINT =
  'Instances that run keep their values. Whoever runs the server looks at what its login may do where the key is kept (FAIRWAY_SECRETS_KEYS); docs/secrets.md.'

/** What a service that keeps the environment's key said; null where it was not asked. */
function serviceError({ cause }: FairwayError): SopsError | null {
  const refused = cause instanceof SopsError ? cause.cause : null
  return refused instanceof SopsError && refused.code === 'KEY_FAILED' ? refused : null
}

function checkedFolder(ref: AppRef, files: ReadonlyMap<string, Secret>): PrivateFolder {
  const folder = { name: 'secrets' as const, files }
  const refused = refusedFolder(folder)
  if (refused === null) return folder
  throw new FairwayError('SECRETS_INVALID', `secrets of ${ref.environment}: ${refused}`)
}

/** @throws FairwayError SECRETS_INVALID where a name is taken */
function withSourced(
  named: ReadonlyMap<string, Secret>,
  sourced: ReadonlyMap<string, Secret>,
): ReadonlyMap<string, Secret> {
  const twice = [...sourced.keys()].find((name) => named.has(name))
  if (twice === undefined) return new Map([...named, ...sourced])
  throw new FairwayError(
    'SECRETS_INVALID',
    `${twice} is in \`files\` of the app file and in an encrypted file`,
  )
}

/** What a program can be given as a variable: no zero byte, and less than the kernel takes for one string (MAX_ARG_STRLEN). */
function checkedVariable(variable: string, value: Secret): Secret {
  if (value.size < 128 * 1024 - variable.length - 1 && !value.reveal().includes(0)) return value
  throw new FairwayError(
    'SECRETS_INVALID',
    `env.${variable}: the value cannot be a variable, it has a zero byte or is longer than 128 KiB`,
    { hint: 'Read it from its file in FAIRWAY_SECRETS instead.' },
  )
}

function checkSize(documents: readonly SecretDocument[]): void {
  const bytes = documents.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0)
  if (documents.length <= MAX_SECRET_DOCUMENTS && bytes <= MAX_DOCUMENT_BYTES) return
  throw new FairwayError(
    'SECRETS_INVALID',
    `${String(documents.length)} encrypted files of ${String(bytes)} bytes: at most ${String(MAX_SECRET_DOCUMENTS)} of ${String(MAX_DOCUMENT_BYTES)} together`,
  )
}
