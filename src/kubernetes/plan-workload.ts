import type { ProcessSpec } from '../model/app-spec.ts'
import type { Workload } from '../model/engine.ts'
import type { AppRef } from '../model/names.ts'
import { podEnv, secretsOf } from './pod-env.ts'
import { namespaceOf } from './labels.ts'
import { kubeObject, type KubeObject, type Labels } from './object.ts'
import { releaseKey } from './ref-key.ts'
import { isStateful, peersServiceName, workloadName } from './object-names.ts'
import { copiesSelector, ownershipLabels } from './ownership.ts'
import { volumeClaim } from './plan-volumes.ts'
import { MIN_READY_SECONDS, type BaseSettings } from './plan-settings.ts'
import { diskName, podTemplate } from './pod-template.ts'
import { seconds } from './probes.ts'
import { hasScaler } from './plan-scaling.ts'
import type { SlottedTrack } from './slots.ts'

/** The Deployment (or StatefulSet) of one track, and the Secret of its values. */
export function planTrack(
  ref: AppRef,
  workload: Workload,
  slotted: SlottedTrack,
  settings: BaseSettings,
): readonly KubeObject[] {
  const { slot, track } = slotted
  const process = workload.spec
  const own = track.spec
  const of = { release: track.release, slot, kind: 'service' } as const
  const env = podEnv({ ref, process: process.name, ...track, of }, settings)
  const labels = ownershipLabels({ ref, owner: settings.owner, process: process.name, ...of })
  const template = podTemplate(
    {
      ref,
      process: own,
      image: track.image,
      argv: own.command ?? track.image.command,
      env,
      secrets: track.secrets,
      valuesVersion: settings.values?.get(releaseKey(process.name, track.release))?.restart,
      labels,
      kind: 'service',
      replicas: hasScaler(process, track) ? process.scale.max : track.replicas,
    },
    settings,
  )
  const common = {
    ...(hasScaler(process, track) ? {} : { replicas: track.replicas }),
    minReadySeconds: settings.minReadySeconds ?? MIN_READY_SECONDS,
    revisionHistoryLimit: 2,
    selector: { matchLabels: copiesSelector(process.name, slot) },
    template,
  }
  const spec = isStateful(process)
    ? { ...common, ...statefulFields(ref, process, settings) }
    : { ...common, ...deploymentFields(process, own, settings) }
  return [
    ...secretsOf(env),
    kubeObject({
      apiVersion: 'apps/v1',
      kind: isStateful(process) ? 'StatefulSet' : 'Deployment',
      name: workloadName(process, slot),
      namespace: namespaceOf(ref),
      labels,
      fields: { spec },
    }),
  ]
}

// Private

/** Beyond what a copy may take to start: finding a node, pulling the image. */
const SCHEDULE_SECONDS = 300

function deploymentFields(
  process: ProcessSpec,
  own: ProcessSpec,
  settings: BaseSettings,
): Readonly<Record<string, unknown>> {
  const ready = settings.minReadySeconds ?? MIN_READY_SECONDS
  return {
    progressDeadlineSeconds: seconds(own.health.startMs) + ready + SCHEDULE_SECONDS,
    strategy:
      process.strategy === 'recreate'
        ? { type: 'Recreate' }
        : { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: '25%' } },
  }
}

/** Its claim template can never change: nothing of a release is in it. */
function statefulFields(
  ref: AppRef,
  process: ProcessSpec,
  settings: BaseSettings,
): Readonly<Record<string, unknown>> {
  const labels: Labels = ownershipLabels({ ref, owner: settings.owner, process: process.name })
  return {
    serviceName: peersServiceName(process.name),
    // In order, a copy that never becomes ready would keep the release before it from coming back.
    podManagementPolicy: 'Parallel',
    updateStrategy: { type: 'RollingUpdate' },
    persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
    volumeClaimTemplates: [...process.volumes]
      .filter(({ shared }) => !shared)
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((volume) => ({
        metadata: { name: diskName(volume.name), labels },
        spec: volumeClaim(volume),
      })),
  }
}
