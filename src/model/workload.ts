import type { AppRef, ProcessName } from './names.ts'
import type { InstanceId } from './instance.ts'

/** How the authority of the instances' identities stands. */
export interface IdentityStatus {
  /** `spiffe://<trust domain>/<environment>/<app>/<process>` are its identities. */
  readonly trustDomain: string
  readonly svidLifeMs: number
  /** Grows with every change of the trust bundle. */
  readonly sequence: number
  /** `published`: a new root is trusted and does not sign yet; `switched`: it signs, the old one is still trusted. */
  readonly phase: 'steady' | 'published' | 'switched'
  readonly next: { readonly step: 'publish' | 'switch' | 'retire'; readonly at: number }
  readonly roots: readonly {
    readonly id: string
    readonly createdAt: number
    readonly notAfter: number
    readonly signs: boolean
  }[]
}

/** The identities of instances as their administrators see them; `workload/` implements it, `api/` asks it. */
export interface WorkloadIdentities {
  status(): Promise<IdentityStatus>
  /** Begins to replace the root; nobody has to do anything else. @throws FairwayError CONFLICT while one is being replaced */
  rotate(): Promise<IdentityStatus>
}

/** Who an identity is for. */
export interface IdentifiedInstance {
  readonly id: InstanceId
  readonly ref: AppRef
  readonly process: ProcessName
}
