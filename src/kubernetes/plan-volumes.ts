import type { ProcessSpec, VolumeSpec } from '../model/app-spec.ts'
import type { AppRef } from '../model/names.ts'
import { namespaceOf } from './labels.ts'
import { kubeObject, type KubeObject } from './object.ts'
import { isStateful } from './object-names.ts'
import { ownershipLabels } from './ownership.ts'
import type { BaseSettings } from './plan-settings.ts'

/** Disks that no StatefulSet claims: shared ones, once for all processes, and those of scheduled processes. */
export function planVolumes(
  ref: AppRef,
  processes: readonly ProcessSpec[],
  settings: BaseSettings,
): readonly KubeObject[] {
  const volumes = processes.flatMap((process) =>
    process.volumes.filter(({ shared }) => shared || !isStateful(process)),
  )
  const names = [...new Set(volumes.map(({ name }) => name))].sort()
  return names.flatMap((name) => {
    const volume = volumes.find((one) => one.name === name)
    if (volume === undefined) return []
    return [
      kubeObject({
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        name,
        namespace: namespaceOf(ref),
        labels: ownershipLabels({ ref, owner: settings.owner }),
        fields: { spec: volumeClaim(volume) },
      }),
    ]
  })
}

/** Of the default StorageClass. */
export function volumeClaim({ sizeBytes, shared }: VolumeSpec): unknown {
  return {
    accessModes: [shared ? 'ReadWriteMany' : 'ReadWriteOnce'],
    resources: { requests: { storage: String(sizeBytes) } },
  }
}
