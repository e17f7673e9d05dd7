import { chmod, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { ApiClient } from './api-client.ts'
import { INSIDE } from './control-plane.ts'
import { coalesced, Mirror } from './mirror.ts'

export const STORAGE_CLASS = 'standard'
export const PROVISIONER = 'fairway.test/local'
const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by'

const metadata = z.object({
  name: z.string(),
  namespace: z.string().default(''),
  uid: z.string(),
  annotations: z.record(z.string(), z.string()).default({}),
})
const claimSchema = z.object({
  metadata,
  spec: z.object({
    storageClassName: z.string().optional(),
    accessModes: z.array(z.string()).default([]),
    resources: z.object({ requests: z.object({ storage: z.string() }) }),
  }),
  status: z.object({ phase: z.string().default('') }),
})
const volumeSchema = z.object({
  metadata,
  spec: z.object({ persistentVolumeReclaimPolicy: z.string().default('') }),
  status: z.object({ phase: z.string().default('') }),
})

type Claim = z.infer<typeof claimSchema>
type Volume = z.infer<typeof volumeSchema>

/** Gives claims of the default class a folder of their node, as k3s and kind do: bound where the first pod is scheduled, writable by the pod's `fsGroup`. */
export class Volumes {
  readonly #api: ApiClient
  readonly #folder: string
  readonly #claims: Mirror<Claim>
  readonly #volumes: Mirror<Volume>

  /** @param folder of the lab on the host */
  constructor(api: ApiClient, folder: string, failed: (error: unknown) => void) {
    this.#api = api
    this.#folder = folder
    const changed = coalesced(() => this.#settle(), failed)
    this.#claims = new Mirror(api, '/api/v1/persistentvolumeclaims', claimSchema, changed)
    this.#volumes = new Mirror(api, '/api/v1/persistentvolumes', volumeSchema, changed)
  }

  start(): void {
    void this.#claims.run()
    void this.#volumes.run()
  }

  stop(): void {
    this.#claims.stop()
    this.#volumes.stop()
  }

  async #settle(): Promise<void> {
    const { items: claims } = this.#claims
    const { items: volumes } = this.#volumes
    if (claims === null || volumes === null) return
    const known = new Set(volumes.map((volume) => volume.metadata.name))
    for (const claim of claims) {
      const node = claim.metadata.annotations['volume.kubernetes.io/selected-node']
      const isOurs = claim.spec.storageClassName === STORAGE_CLASS
      if (!isOurs || node === undefined || claim.status.phase !== 'Pending') continue
      if (!known.has(nameFor(claim))) await this.#provision(claim, node)
    }
    for (const volume of volumes.filter(isToBeRemoved)) await this.#remove(volume.metadata.name)
  }

  async #provision(claim: Claim, node: string): Promise<void> {
    const name = nameFor(claim)
    const folder = join(this.#folder, 'volumes', name)
    await mkdir(folder, { recursive: true })
    await chmod(folder, 0o777)
    await this.#api
      .call('POST', '/api/v1/persistentvolumes', volumeFor(claim, node))
      .catch((error: unknown) => {
        if (!String(error).includes('AlreadyExists')) throw error
      })
  }

  async #remove(name: string): Promise<void> {
    await rm(join(this.#folder, 'volumes', name), { recursive: true, force: true })
    await this.#api.call('DELETE', `/api/v1/persistentvolumes/${name}`).catch((error: unknown) => {
      if (!String(error).includes('NotFound')) throw error
    })
  }
}

function nameFor({ metadata: { uid } }: Claim): string {
  return `pvc-${uid}`
}

function isToBeRemoved({ metadata: { annotations }, spec, status }: Volume): boolean {
  const isOurs = annotations[PROVISIONED_BY] === PROVISIONER
  return isOurs && status.phase === 'Released' && spec.persistentVolumeReclaimPolicy === 'Delete'
}

function volumeFor(claim: Claim, node: string): object {
  const name = nameFor(claim)
  const { namespace, uid } = claim.metadata
  const expression = { key: 'kubernetes.io/hostname', operator: 'In', values: [node] }
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name, annotations: { [PROVISIONED_BY]: PROVISIONER } },
    spec: {
      capacity: { storage: claim.spec.resources.requests.storage },
      accessModes: claim.spec.accessModes,
      persistentVolumeReclaimPolicy: 'Delete',
      storageClassName: STORAGE_CLASS,
      claimRef: {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        name: claim.metadata.name,
        namespace,
        uid,
      },
      local: { path: `${INSIDE.lab}/volumes/${name}` },
      nodeAffinity: {
        required: { nodeSelectorTerms: [{ matchExpressions: [expression] }] },
      },
    },
  }
}
