import type { ClusterClient } from './cluster-client.ts'
import { KINDS } from './kinds.ts'

/** On the pods of the control plane: which of them decides. The Service of the API selects `active`. */
export const ROLE_LABEL = 'fairway/role'
export type Role = 'active' | 'standby'

/** Holds the one-time claim code while nobody has claimed the server. `fairway install` makes it, empty. */
export const CLAIM_SECRET = 'fairway-claim'
export const CLAIM_KEY = 'code'

export interface HomePodOptions {
  readonly client: ClusterClient
  readonly namespace: string
  /** Its name. */
  readonly pod: string
}

/** The pod that this server itself runs in, and what it tells the cluster of itself. */
export class HomePod {
  readonly #options: HomePodOptions

  constructor(options: HomePodOptions) {
    this.#options = options
  }

  /** @throws FairwayError CLUSTER_… */
  async setRole(role: Role): Promise<void> {
    const { client, namespace, pod } = this.#options
    const labels = { [ROLE_LABEL]: role }
    await client.mergePatch({ kind: KINDS.Pod, namespace, name: pod }, { metadata: { labels } })
  }

  /** Null: it has been used. @throws FairwayError CLUSTER_… */
  async publishClaim(code: string | null): Promise<void> {
    const { client, namespace } = this.#options
    const value = code === null ? null : Buffer.from(code).toString('base64')
    const name = { kind: KINDS.Secret, namespace, name: CLAIM_SECRET }
    await client.mergePatch(name, { data: { [CLAIM_KEY]: value } })
  }

  close(): Promise<void> {
    return this.#options.client.close()
  }
}
