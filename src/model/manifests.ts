import type { DesiredApp, JobRequest } from './engine.ts'
import type { AppRef, ProcessName, TargetName } from './names.ts'

/** What became of one object. */
export interface ManifestChange {
  /** 'Deployment shop--production/web-a'. */
  readonly object: string
  readonly action: 'created' | 'changed' | 'unchanged' | 'deleted'
}

/** Texts of files by their path below the folder of an export. */
export type ManifestFiles = ReadonlyMap<string, string>

export interface ExportRequest {
  readonly desired: DesiredApp
  /** The release command; null = the app has none. */
  readonly job: JobRequest | null
  /** Whether values of variables are written. */
  readonly secrets: boolean
}

export interface ApplyFilesOptions {
  /** Asks the cluster what it would do, and does nothing. */
  readonly dryRun: boolean
  /** Deletes what an earlier apply of these apps made and the files no longer have. */
  readonly prune: boolean
}

/** Plain manifests on one cluster, for teams that keep them in git. They belong to the git folder: the server itself never touches them otherwise. */
export interface ClusterManifests {
  exportApp(request: ExportRequest): Promise<ManifestFiles>
  /** @throws FairwayError INVALID_REQUEST for what no export wrote, CLUSTER_CONFLICT for objects of somebody else */
  apply(files: ManifestFiles, options: ApplyFilesOptions): Promise<readonly ManifestChange[]>
  /** Deletes an app that was applied from files, or one process of it; disks and their claims stay with the namespace of one process. */
  remove(ref: AppRef, process: ProcessName | null): Promise<readonly ManifestChange[]>
  /** Takes objects over that somebody else made, for an app of the server. */
  adopt(ref: AppRef, objects: readonly string[]): Promise<void>
}

/** The use cases over them. */
export interface Manifests {
  /** Of the release that serves. @throws FairwayError NOT_FOUND, NOT_RUNNING, INVALID_REQUEST where neither the environment nor `target` names a cluster */
  exportApp(
    ref: AppRef,
    options: { readonly target: TargetName | null; readonly secrets: boolean },
  ): Promise<ManifestFiles>
  /** @throws FairwayError CONFLICT for an app that the server itself runs there */
  apply(
    target: TargetName,
    files: ManifestFiles,
    options: ApplyFilesOptions,
  ): Promise<readonly ManifestChange[]>
  remove(
    target: TargetName,
    ref: AppRef,
    process: ProcessName | null,
  ): Promise<readonly ManifestChange[]>
  adopt(ref: AppRef, objects: readonly string[]): Promise<void>
}
