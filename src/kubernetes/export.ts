import { stringify } from 'yaml'
import type { DesiredApp, JobRequest } from '../model/engine.ts'
import { at, isRecord, listAt, recordAt, textAt } from './json-value.ts'
import { LABELS } from './labels.ts'
import { kubeObject, objectKey, toYaml, type KubeObject, type Labels } from './object.ts'
import { planApp } from './plan-app.ts'
import { planJob } from './plan-job.ts'
import type { PlanSettings } from './plan-settings.ts'

export interface ExportInput {
  readonly desired: DesiredApp
  /** The release command; null = the app has none. */
  readonly job: JobRequest | null
  readonly settings: PlanSettings
  /** Whether values of variables are written: a folder that is kept in git should not have them. */
  readonly secrets: 'write' | 'leave out'
}

/** Version of `app.lock.yaml`. */
const LOCK_SCHEMA = 1

/**
 * An app in one environment as plain manifests, by path below the folder of the export: `envs/<environment>/<app>/…`. Pure: the same input gives the same
 * bytes. Files whose content would be empty are not there.
 */
export function exportFiles(input: ExportInput): ReadonlyMap<string, string> {
  const { desired, job, settings, secrets } = input
  const folder = `envs/${desired.ref.environment}/${desired.ref.app}`
  const planned = unique([
    ...planApp(desired, settings),
    ...(job === null ? [] : planJob(job, settings)),
  ])
  const written = planned.filter(({ kind }) => kind !== 'Secret' || secrets === 'write')
  const groups = Map.groupBy(written.map(forGitOps), fileOf)
  const names = [...groups.keys()].sort()
  const files = [
    ['app.lock.yaml', lockFile(input, planned)] as const,
    ['kustomization.yaml', kustomization(names)] as const,
    ...names.map((name) => [name, toYaml(groups.get(name) ?? [])] as const),
  ]
  return new Map(files.map(([name, text]) => [`${folder}/${name}`, text] as const).sort(byFirst))
}

// Private

const FILES: Readonly<Record<string, string>> = {
  Namespace: '00-namespace.yaml',
  ServiceAccount: '00-namespace.yaml',
  Job: '20-release-job.yaml',
  HTTPRoute: '40-routes.yaml',
  Ingress: '40-routes.yaml',
  NetworkPolicy: '50-policy.yaml',
  PodDisruptionBudget: '50-policy.yaml',
}

/** Numbers are the order in which they are applied; Secrets and disks come before what mounts them. */
function fileOf(object: KubeObject): string {
  const { kind, metadata } = object
  const fixed = FILES[kind]
  if (fixed !== undefined) return fixed
  if (kind === 'Secret' && metadata.labels[LABELS.kind] === 'job') return '20-release-job.yaml'
  const process = metadata.labels[LABELS.process]
  return process === undefined ? '00-namespace.yaml' : `30-${process}.yaml`
}

/**
 * In the order that Argo CD keeps: what everything else needs, the release command at each sync, the rest. As a hook of the phase Sync: before it, the first
 * sync has no namespace yet. A Job that removed itself would come back and run again, so here it stays.
 */
function forGitOps(object: KubeObject): KubeObject {
  const { apiVersion, kind, metadata, ...fields } = object
  return kubeObject({
    apiVersion,
    kind,
    name: metadata.name,
    namespace: metadata.namespace ?? null,
    labels: metadata.labels,
    annotations: { ...metadata.annotations, ...argoAnnotations(object) },
    fields:
      kind === 'Job'
        ? { ...fields, spec: without(fields['spec'], 'ttlSecondsAfterFinished') }
        : fields,
  })
}

function argoAnnotations(object: KubeObject): Labels {
  const wave = (number: number): Labels => ({ 'argocd.argoproj.io/sync-wave': String(number) })
  if (object.kind === 'Job')
    return {
      ...wave(0),
      'argocd.argoproj.io/hook': 'Sync',
      'argocd.argoproj.io/hook-delete-policy': 'BeforeHookCreation',
    }
  const file = fileOf(object)
  if (file.startsWith('20')) return wave(-1)
  return wave(file.startsWith('00') || file.startsWith('50') ? -2 : 1)
}

function without(spec: unknown, key: string): unknown {
  return Object.fromEntries(
    Object.entries(isRecord(spec) ? spec : {}).filter(([name]) => name !== key),
  )
}

/** What both plans have is there once. */
function unique(objects: readonly KubeObject[]): readonly KubeObject[] {
  return [...new Map(objects.map((object) => [objectKey(object), object] as const)).values()]
}

function kustomization(resources: readonly string[]): string {
  return stringify({
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources,
  })
}

/** What exactly runs, and which values the folder does not have. */
function lockFile(input: ExportInput, planned: readonly KubeObject[]): string {
  const { ref, workloads } = input.desired
  const release = Math.max(0, ...workloads.flatMap(({ tracks }) => tracks.map((t) => t.release)))
  return stringify({
    schema: LOCK_SCHEMA,
    app: ref.app,
    environment: ref.environment,
    ...(input.desired.target === null ? {} : { target: input.desired.target }),
    release,
    images: [...new Set(planned.flatMap(imagesOf))].sort(),
    secrets: planned
      .filter(({ kind }) => kind === 'Secret')
      .map((secret) => ({
        name: secret.metadata.name,
        keys: Object.keys(recordAt(secret, 'data')).sort(),
        written: input.secrets === 'write',
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  })
}

function imagesOf(object: KubeObject): readonly string[] {
  const spec = object['spec']
  const template = at(spec, 'jobTemplate', 'spec', 'template') ?? at(spec, 'template')
  return listAt(template, 'spec', 'containers').map((container) => textAt(container, 'image'))
}

function byFirst(a: readonly [string, string], b: readonly [string, string]): number {
  return a[0] < b[0] ? -1 : 1
}
