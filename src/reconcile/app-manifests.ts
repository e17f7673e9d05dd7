import type { Clock } from '../model/clock.ts'
import type { JobRequest } from '../model/engine.ts'
import { FairwayError } from '../model/errors.ts'
import type {
  ApplyFilesOptions,
  ClusterManifests,
  ManifestChange,
  ManifestFiles,
  Manifests,
} from '../model/manifests.ts'
import { refKey, type AppRef, type ProcessName, type TargetName } from '../model/names.ts'
import type { Release } from '../model/release.ts'
import type { Store } from '../model/store.ts'
import { activeRelease } from './app-planner.ts'
import type { ConnectedClusters } from './connected-clusters.ts'
import { desiredApp, processEnv, secretEnv, secretPlan } from './desired.ts'

export interface AppManifestsOptions {
  readonly store: Store
  readonly connected: ConnectedClusters
  readonly clock: Clock
}

/** Manifests of the server's apps, and of those that only live in files. An app is either the server's or the files', never both. */
export class AppManifests implements Manifests {
  readonly #options: AppManifestsOptions

  constructor(options: AppManifestsOptions) {
    this.#options = options
  }

  async exportApp(
    ref: AppRef,
    options: { readonly target: TargetName | null; readonly secrets: boolean },
  ): Promise<ManifestFiles> {
    const release = await this.#serving(ref)
    const target = options.target ?? release.spec.target
    if (target === null) {
      throw new FairwayError('INVALID_REQUEST', `${refKey(ref)} runs on this machine`, {
        hint: 'Name the cluster that the manifests are for: `--target NAME`.',
      })
    }
    refuseAsking(release)
    const record = await this.#options.store.ensureApp(ref, this.#options.clock.now())
    const desired = { ...desiredApp(release, record), target }
    const manifests = await this.#manifests(target)
    return manifests.exportApp({ desired, job: releaseJob(release), secrets: options.secrets })
  }

  async apply(
    target: TargetName,
    files: ManifestFiles,
    options: ApplyFilesOptions,
  ): Promise<readonly ManifestChange[]> {
    return (await this.#manifests(target)).apply(files, options)
  }

  async remove(
    target: TargetName,
    ref: AppRef,
    process: ProcessName | null,
  ): Promise<readonly ManifestChange[]> {
    return (await this.#manifests(target)).remove(ref, process)
  }

  async adopt(ref: AppRef, objects: readonly string[]): Promise<void> {
    const record = await this.#options.store.getApp(ref)
    const target = record === null ? null : await this.#newestTarget(ref)
    if (target === null) throw new FairwayError('NOT_FOUND', `${refKey(ref)} runs on no cluster`)
    await (await this.#manifests(target)).adopt(ref, objects)
  }

  async #manifests(target: TargetName): Promise<ClusterManifests> {
    return (await this.#options.connected.connected(target)).manifests
  }

  async #serving(ref: AppRef): Promise<Release> {
    const record = await this.#options.store.getApp(ref)
    if (record === null) throw new FairwayError('NOT_FOUND', `there is no app ${refKey(ref)}`)
    const release = await activeRelease(ref, this.#options.store)
    if (release !== null) return release
    throw new FairwayError('NOT_RUNNING', `${refKey(ref)} has no release yet`, {
      hint: 'Deploy it first.',
    })
  }

  /** Also of a release that could not be brought in because of what is to be taken over. */
  async #newestTarget(ref: AppRef): Promise<TargetName | null> {
    const [newest] = await this.#options.store.listReleases(ref, 1)
    return newest?.spec.target ?? null
  }
}

/** Pods ask this server for values and identities, and it knows only what it runs itself. */
function refuseAsking(release: Release): void {
  refuseSecrets(release)
  const asking = Object.values(release.spec.processes).find(({ identity }) => identity)
  if (asking === undefined) return
  throw new FairwayError(
    'UNSUPPORTED_KEY',
    `${refKey(release.ref)} asks for identities, which only this server gives: \`processes.${asking.name}.identity\``,
    { hint: 'Take the key out for this environment; a mesh or SPIRE gives identities there.' },
  )
}

function refuseSecrets(release: Release): void {
  const { spec } = release
  const processes = Object.values(spec.processes)
  if (processes.every((process) => secretPlan(release, process) === null)) return
  const names = (path: string, of: Readonly<Record<string, unknown>> = {}): readonly string[] =>
    Object.keys(of).map((name) => `\`${path}.${name}\``)
  const keys = [
    ...((spec.secrets ?? []).length > 0 ? ['`secrets`'] : []),
    ...names('env', spec.envFrom),
    ...names('files', spec.files),
    ...processes.flatMap(({ name, envFrom }) => names(`processes.${name}.env`, envFrom)),
  ]
  const message = `${refKey(release.ref)} has secrets, whose values are in no manifest: ${keys.join(', ')}`
  throw new FairwayError('INVALID_REQUEST', message, {
    hint: 'An app with secrets gets them from its server, so it cannot be applied from files: deploy it, or take these keys out of its app file.',
  })
}

function releaseJob(release: Release): JobRequest | null {
  const { spec, ref } = release
  const [process] = Object.values(spec.processes)
  if (spec.release === null || process === undefined) return null
  return {
    ref,
    spec,
    process: process.name,
    release: release.number,
    image: release.image,
    argv: spec.release.command,
    env: { ...processEnv(release, process), RELEASE_COMMAND: '1' },
    secretEnv: secretEnv(release),
    timeoutMs: spec.release.timeoutMs,
    key: `release-${String(release.number)}`,
  }
}
