import type { TargetName } from './names.ts'
import type { SignedIdentity, ValidatedJwt } from './workload.ts'

/** Where instances on clusters ask who they are, by POST and with their token. */
export const IDENTITY_PATH = /^\/clusters\/([a-z0-9-]+)\/instance-identity$/

export function identityPath(target: TargetName): string {
  return `/clusters/${target}/instance-identity`
}

/** Who such a token must be made for: one for values is none for identities. */
export function identityAudience(owner: string, target: TargetName): string {
  return `${owner}.${target}.identities.fairway.internal`
}

/** Most audiences of one JWT-SVID, and most characters of each. */
export const MAX_AUDIENCES = 16
export const MAX_AUDIENCE = 2048

/** A key that an instance made and keeps. */
export interface HeldKey {
  /** DER of a SubjectPublicKeyInfo of P-256. */
  readonly publicKey: Uint8Array
  /** ECDSA with SHA-256 over the instance's token, r and s one after the other (IEEE P1363): whoever asks has the key. */
  readonly proof: Uint8Array
}

/** Gives instances on clusters their identities; each call finds out anew who asks. */
export interface InstanceIdentities {
  /** A look at the token that costs nothing: resolves for one that says it was made for this. @throws FairwayError UNAUTHENTICATED for any other */
  expect(target: TargetName, token: string): Promise<void>
  /**
   * @throws FairwayError as `ClusterInstances.identify`; NOT_FOUND where its release is not wanted any more, or its process asks for no identity;
   * INVALID_REQUEST for another kind of key, or one that the instance does not hold
   */
  certify(
    target: TargetName,
    token: string,
    key: HeldKey,
    signal: AbortSignal,
  ): Promise<SignedIdentity>
  /** A JWT-SVID. @throws as `certify` */
  jwtSvid(
    target: TargetName,
    token: string,
    audience: readonly string[],
    signal: AbortSignal,
  ): Promise<string>
  /** Null for what is no JWT-SVID for this audience. @throws as `certify` */
  validateJwtSvid(
    target: TargetName,
    token: string,
    given: { readonly svid: string; readonly audience: string },
    signal: AbortSignal,
  ): Promise<ValidatedJwt | null>
}
