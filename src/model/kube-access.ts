import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Role, Subject } from './identity.ts'
import type { AppRef, TargetName } from './names.ts'

/**
 * How people's own programs (kubectl, Helm, IDEs) get into a cluster. `proxy`: through this server, which acts there as them. `issuer`: the API server itself
 * believes tokens of this server. `webhook`: the API server asks this server about each token. `off`: not at all.
 */
export const ACCESS_WAYS = ['proxy', 'issuer', 'webhook', 'off'] as const
export type AccessWay = (typeof ACCESS_WAYS)[number]

/** Roles of apps become ClusterRoles that every cluster has (RBAC "user-facing roles"). */
export const CLUSTER_ROLES: Readonly<Record<Role, string>> = {
  viewer: 'view',
  developer: 'edit',
  operator: 'edit',
  admin: 'admin',
}

/** What somebody is in one app's namespace: the name of a group that the cluster knows from our RoleBindings alone. */
export function accessGroup(namespace: string, role: string): string {
  return `fairway:${namespace}:${role}`
}

/** One app's namespace and what somebody is there. */
export interface AccessScope {
  readonly ref: AppRef
  readonly namespace: string
  readonly role: Role
}

/** What a kubeconfig for one cluster is made of: no secret is in it. */
export interface AccessTarget {
  readonly target: TargetName
  readonly way: AccessWay
  /** https URL for `cluster.server`. */
  readonly server: string
  /** Name in the certificate where it is another than the URL's host. */
  readonly serverName: string | null
  /** PEM; null = authorities that the client trusts anyway. */
  readonly ca: string | null
  readonly scopes: readonly AccessScope[]
}

export interface AccessToken {
  readonly token: string
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
}

/** What the API server of a cluster has to be started with, for the ways in which it checks tokens itself. */
export interface AccessFiles {
  /** File name -> text. A webhook's kubeconfig holds a secret. */
  readonly files: Readonly<Record<string, string>>
  /** Flags of kube-apiserver that name them. */
  readonly flags: readonly string[]
}

/** Access to clusters as the API offers it. Unknown targets, and those where the subject has nothing, are FairwayError NOT_FOUND. */
export interface KubeAccess {
  /** Where the subject may go; clusters where it has no namespace are not in it. */
  list(subject: Subject): Promise<readonly AccessTarget[]>
  /**
   * A token for one cluster, good for five minutes, and the rights there that it stands for.
   * @param credential names the credential of the caller, so that the token ends with it: see `credentialName`
   * @param environment null = every environment of the subject's
   * @throws FairwayError CLUSTER_…, FORBIDDEN where the way is `off`
   */
  issue(
    subject: Subject,
    credential: string,
    target: TargetName,
    environment: string | null,
  ): Promise<AccessToken>
  /** With `off` everything that gave people access is taken from the cluster. @throws FairwayError CLUSTER_… where that has to be done again; the way is kept */
  setWay(target: TargetName, way: AccessWay): Promise<void>
  /** Null for ways that need none. */
  files(target: TargetName): Promise<AccessFiles | null>
  /**
   * Tokens are signed with a new key from now on, and none of before is taken: for keys that somebody else may have.
   * @throws FairwayError CLUSTER_UNREACHABLE naming the clusters whose API servers check tokens themselves and have not heard of it; the key is replaced all the same
   */
  replaceKey(): Promise<void>
}

/** Somebody as a cluster knows them. Names never begin with `system:`. */
export interface ClusterUser {
  /** `fairway:token:ci`, `fairway:user:ann`. */
  readonly name: string
  readonly groups: readonly string[]
}

/** Somebody whose token was checked for one cluster. */
export interface Admission {
  readonly target: TargetName
  readonly user: ClusterUser
  /** The same somebody now: null once the credential behind the token is gone or nothing is left to them. */
  readonly again: () => Promise<ClusterUser | null>
  readonly subject: Subject
}

/** What the listener for clusters and their users asks. */
export interface AccessGate {
  /** OpenID Connect Discovery 1.0, section 3. */
  discovery(): Readonly<Record<string, unknown>>
  /** RFC 7517. */
  keys(): Promise<Readonly<Record<string, unknown>>>
  /** Null for a token that is not of this issuer, not for this cluster, expired, or whose credential is gone. */
  admit(token: string, target: TargetName): Promise<Admission | null>
  /** True where it is the secret of that target's webhook configuration. */
  isWebhook(secret: string, target: TargetName): Promise<boolean>
  way(target: TargetName): Promise<AccessWay>
  /** Ready for whoever was admitted. @throws FairwayError NOT_FOUND, CLUSTER_… */
  door(admission: Admission): Promise<ClusterDoor>
}

/** A request that was checked, to be made as somebody. */
export interface Passage {
  readonly request: IncomingMessage
  /** Path and query below the API server's own. */
  readonly path: string
  readonly user: ClusterUser
  /** Ends it at once, whatever it is. */
  readonly signal: AbortSignal
}

export interface AccessWanted {
  /** Every app that runs there. */
  readonly refs: readonly AppRef[]
  /** Whom this server is to act as beside those whom it may act as already; null where nobody goes through it. */
  readonly user: string | null
}

/** One cluster's API server for requests of people; `kubernetes/` implements it. */
export interface ClusterDoor {
  /** What people's programs connect to where they go there themselves. */
  readonly server: string
  readonly serverName: string | null
  readonly ca: string | null
  /** Makes it so that groups mean something in the namespaces of these apps and nowhere else; level-triggered. @throws FairwayError CLUSTER_… */
  prepare(wanted: AccessWanted): Promise<void>
  /** Asks the API server for nothing but its version, as whoever this token says; resolves with the status. @throws FairwayError CLUSTER_… */
  show(token: string): Promise<number>
  /** An ordinary request; resolves with the status when its answer has been sent or has broken off. @throws FairwayError where the cluster gave no answer */
  pass(passage: Passage, response: ServerResponse): Promise<number>
  /** One that leaves HTTP (WebSocket, SPDY/3.1): resolves with the status when both sides are closed. @throws FairwayError as above */
  upgrade(passage: Passage, socket: Duplex, head: Buffer): Promise<number>
  close(): Promise<void>
}

/** `fwy_<id>` of a bearer token `fwy_<id>_<secret>`: names a credential without giving it away. Null where it has another form. */
export function credentialName(token: string): string | null {
  return /^(fw[a-z]_[0-9A-Za-z]{1,64})_[0-9A-Za-z]+$/.exec(token)?.[1] ?? null
}
