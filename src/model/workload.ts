import type { AppRef, ProcessName } from './names.ts'

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
  /** Trusts a new root and nothing else, at once: for keys that somebody else may have. */
  replace(): Promise<IdentityStatus>
}

/** Whose an identity is: all copies of a process have the same. */
export interface IdentityHolder {
  readonly ref: AppRef
  readonly process: ProcessName
}

/** What a peer needs to know, beside a certificate, to trust others. */
export interface TrustedRoots {
  readonly trustDomain: string
  /** Certificates in PEM. */
  readonly roots: readonly string[]
  /** Keys of JWT-SVIDs: a JWK set as text. */
  readonly jwtBundle: string
}

/** A certificate for a key that its holder keeps. */
export interface SignedIdentity extends TrustedRoots {
  /** `spiffe://…` */
  readonly id: string
  /** DER. */
  readonly certificate: Uint8Array
  /** How long it is valid from now on, in milliseconds. */
  readonly lifeMs: number
}

/** Signs for instances that this server does not start itself; `workload/` implements it. Who asks is known before. */
export interface IdentitySigner {
  /** @param publicKey DER of a SubjectPublicKeyInfo of P-256 */
  certify(holder: IdentityHolder, publicKey: Uint8Array): Promise<SignedIdentity>
  /** A JWT-SVID for these audiences. */
  jwtSvid(holder: IdentityHolder, audience: readonly string[]): Promise<string>
  /** Null for what is none of this trust domain for this audience. */
  validateJwtSvid(token: string, audience: string): Promise<ValidatedJwt | null>
}

export interface ValidatedJwt {
  readonly id: string
  readonly claims: Readonly<Record<string, unknown>>
}
