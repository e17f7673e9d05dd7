import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { Action, Role, Subject } from '../model/identity.ts'
import {
  accessGroup,
  type AccessFiles,
  type AccessGate,
  type AccessScope,
  type AccessTarget,
  type AccessToken,
  type AccessWay,
  type Admission,
  type ClusterDoor,
  type ClusterUser,
  type KubeAccess,
} from '../model/kube-access.ts'
import type { AppRef, TargetName } from '../model/names.ts'
import type { Store } from '../model/store.ts'
import { accessFiles } from './access-files.ts'
import { AccessDoors, type DoorMaker } from './access-doors.ts'
import { AccessPlaces } from './access-places.ts'
import { AccessWays } from './access-ways.ts'
import { clusterUserName } from './cluster-user.ts'
import { unknownTarget } from './connected-clusters.ts'

/** What a token for a cluster says. */
export interface TokenClaims {
  readonly user: string
  readonly credential: string
  readonly environment: string | null
  readonly groups: readonly string[]
}

/** Signs and checks tokens for clusters; `identity/` implements it. */
export interface TokenSigner {
  sign(claims: TokenClaims, audience: string): Promise<AccessToken>
  verify(token: string, audience: string): Promise<TokenClaims | null>
  keys(): Promise<Readonly<Record<string, unknown>>>
  /** What was signed before is none of ours any more. */
  replaceKey(): Promise<void>
}

/** Where clusters and people's programs reach this server. */
export interface AccessListener {
  /** https URL without a slash at the end: also the issuer's name. */
  readonly url: string
  /** PEM of the authority behind its certificate; null = one that clients trust anyway. */
  readonly ca: string | null
}

export interface TargetAccessOptions {
  readonly store: Pick<
    Store,
    'listApps' | 'listTargets' | 'getTarget' | 'getSetting' | 'setSetting'
  >
  readonly clock: Clock
  readonly doors: DoorMaker
  readonly signer: TokenSigner
  /** Name of this installation; see `ownerOf`. */
  readonly owner: string
  /** Null where it cannot listen. */
  readonly listener: () => AccessListener | null
  readonly namespaceOf: (ref: AppRef) => string
  /** Where the app's serving release runs. */
  readonly targetOf: (ref: AppRef) => Promise<TargetName | null | undefined>
  readonly roleIn: (subject: Subject, ref: AppRef) => Role | null
  readonly may: (subject: Subject, action: Action, ref: AppRef) => boolean
  /** Whose credential it is, now: null once it is revoked or has expired. */
  readonly recall: (credential: string) => Promise<Subject | null>
  readonly randomSecret: () => string
}

/** No person's name or credential has this form: whatever shows such a token has no rights anywhere. */
const NOBODY = { user: 'fairway:nobody', credential: 'none' } as const
/** Each a new one, which a balancer may give to another API server. */
const CONNECTIONS = 8
/** Groups in one token, so that it fits into a header. */
const MOST_GROUPS = 100
/** Groups of one request through the proxy. */
const MOST_IMPERSONATED = 1000

/** Who may go to which cluster as what: everything is looked up again at each use. */
export class TargetAccess implements KubeAccess, AccessGate {
  readonly #options: TargetAccessOptions
  readonly #ways: AccessWays
  readonly #places: AccessPlaces
  readonly #doors: AccessDoors

  constructor(options: TargetAccessOptions) {
    this.#options = options
    this.#ways = new AccessWays(options)
    this.#places = new AccessPlaces(options)
    this.#doors = new AccessDoors(options)
  }

  async list(subject: Subject): Promise<readonly AccessTarget[]> {
    const found: AccessTarget[] = []
    for (const { name } of await this.#options.store.listTargets()) {
      const way = await this.#ways.of(name)
      const scopes = way === 'off' ? [] : await this.#scopes(subject, name, null)
      if (scopes.length === 0) continue
      found.push({ target: name, way, ...(await this.#server(name, way)), scopes })
    }
    return found
  }

  async issue(
    subject: Subject,
    credential: string,
    target: TargetName,
    environment: string | null,
  ): Promise<AccessToken> {
    const way = await this.#ways.of(target)
    const scopes = await this.#scopes(subject, target, environment)
    if ((await this.#options.store.getTarget(target)) === null || scopes.length === 0)
      throw new FairwayError(
        'NOT_FOUND',
        `there is no cluster ${target} on which ${JSON.stringify(subject.name)} has an app${environment === null ? '' : ` in ${environment}`}`,
        { hint: '`fairway kubeconfig` without --target lists those that there are.' },
      )
    if (way === 'off') throw new FairwayError('FORBIDDEN', `access to ${target} is switched off`)
    this.#expectListener()
    const user = userOf(subject, scopes)
    const door = await this.#doors.of(target)
    const refs = await this.#places.on(target)
    await door.prepare({ refs, user: way === 'proxy' ? user.name : null })
    if (way === 'issuer' && user.groups.length > MOST_GROUPS)
      throw new FairwayError(
        'LIMIT_EXCEEDED',
        `${String(user.groups.length)} namespaces do not fit into one token`,
        { hint: 'Ask for one environment: fairway kubeconfig --env NAME.' },
      )
    const groups = way === 'issuer' ? user.groups : []
    const claims = { user: user.name, credential, environment, groups }
    return await this.#options.signer.sign(claims, this.#audience(target))
  }

  async setWay(target: TargetName, way: AccessWay): Promise<void> {
    if ((await this.#options.store.getTarget(target)) === null) throw unknownTarget(target)
    await this.#ways.set(target, way)
    if (way === 'off') await this.#takeAway(target)
  }

  async files(target: TargetName): Promise<AccessFiles | null> {
    if ((await this.#options.store.getTarget(target)) === null) throw unknownTarget(target)
    const way = await this.#ways.of(target)
    if (way === 'proxy' || way === 'off') return null
    const listener = this.#expectListener()
    const audience = this.#audience(target)
    const secret = way === 'webhook' ? await this.#ways.newSecret(target) : null
    return accessFiles({ listener, target, audience, secret })
  }

  discovery(): Readonly<Record<string, unknown>> {
    const { url } = this.#expectListener()
    return {
      issuer: url,
      jwks_uri: `${url}/keys`,
      // Required by the specification; there is no login here, only tokens for clusters.
      authorization_endpoint: `${url}/none`,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256'],
      claims_supported: ['sub', 'groups'],
    }
  }

  keys(): Promise<Readonly<Record<string, unknown>>> {
    return this.#options.signer.keys()
  }

  async replaceKey(): Promise<void> {
    await this.#options.signer.replaceKey()
    const untold: TargetName[] = []
    let cause: unknown = null
    for (const { name } of await this.#options.store.listTargets()) {
      if ((await this.#ways.of(name)) !== 'issuer') continue
      try {
        await this.#showNewKey(name)
      } catch (error) {
        if (!(error instanceof FairwayError)) throw error
        untold.push(name)
        cause ??= error
      }
    }
    if (cause === null) return
    throw new FairwayError(
      'CLUSTER_UNREACHABLE',
      `the key is replaced, but the API server of ${untold.join(', ')} still takes the old one: ${cause instanceof Error ? cause.message : ''}`,
      { cause, hint: 'It hears of the new one from the next person who goes there with kubectl.' },
    )
  }

  async admit(token: string, target: TargetName): Promise<Admission | null> {
    const claims = await this.#options.signer.verify(token, this.#audience(target))
    if (claims === null) return null
    const { recall, store } = this.#options
    if ((await store.getTarget(target)) === null) return null
    const subject = await recall(claims.credential)
    if (subject === null) return null
    const again = (): Promise<ClusterUser | null> => this.#userNow(claims, target)
    const user = await again()
    if (user === null) return null
    return { target, user, again, subject }
  }

  isWebhook(secret: string, target: TargetName): Promise<boolean> {
    return this.#ways.isSecret(target, secret)
  }

  way(target: TargetName): Promise<AccessWay> {
    return this.#ways.of(target)
  }

  async door({ target, user }: Admission): Promise<ClusterDoor> {
    const door = await this.#doors.of(target)
    // Apps come and go while tokens are out: whom one may act as follows them.
    await door.prepare({ refs: await this.#places.on(target), user: user.name })
    return door
  }

  close(): Promise<void> {
    return this.#doors.close()
  }

  // Private

  /**
   * An API server that checks tokens itself asks for keys again when it meets one that it does not know, and drops those that are no longer published. So it meets one: of nobody, for nothing. Of
   * several API servers behind one address each has to.
   */
  async #showNewKey(target: TargetName): Promise<void> {
    const door = await this.#doors.of(target)
    const claims = { ...NOBODY, environment: null, groups: [] }
    const { token } = await this.#options.signer.sign(claims, this.#audience(target))
    for (let connection = 0; connection < CONNECTIONS; connection++) {
      if ((await door.show(token)) === 401)
        throw new FairwayError('CLUSTER_UNREACHABLE', 'it took no token of the new one')
    }
  }

  /** Tokens that an API server checks itself are good for some minutes more: without the bindings they give no rights. */
  async #takeAway(target: TargetName): Promise<void> {
    try {
      const door = await this.#doors.of(target)
      await door.prepare({ refs: [], user: null })
    } catch (error) {
      if (!(error instanceof FairwayError)) throw error
      throw new FairwayError(
        error.code,
        `nobody gets further tokens for ${target}, but what access gave there is still there: ${error.message}`,
        {
          cause: error,
          hint: `Say it again once the cluster answers: fairway target access ${target} --way off.`,
        },
      )
    }
  }

  /** Whoever the credential behind a token is now, with the rights of now; null where nothing is left. */
  async #userNow(
    { credential, environment, user }: TokenClaims,
    target: TargetName,
  ): Promise<ClusterUser | null> {
    const { recall, store } = this.#options
    const subject = await recall(credential)
    if (subject === null || clusterUserName(subject) !== user) return null
    if ((await store.getTarget(target)) === null || (await this.#ways.of(target)) === 'off')
      return null
    const scopes = await this.#scopes(subject, target, environment)
    return scopes.length === 0 ? null : userOf(subject, scopes)
  }

  async #scopes(
    subject: Subject,
    target: TargetName,
    environment: string | null,
  ): Promise<readonly AccessScope[]> {
    const { namespaceOf, roleIn, may } = this.#options
    return (await this.#places.on(target)).flatMap((ref) => {
      if (environment !== null && ref.environment !== environment) return []
      const role = may(subject, 'kube:access', ref) ? roleIn(subject, ref) : null
      if (role === null) return []
      // Above `view` a cluster lets everybody into pods: only whom we let in there too, which is fewer where an environment is protected.
      const held = may(subject, 'app:exec', ref) ? role : 'viewer'
      return [{ ref, namespace: namespaceOf(ref), role: held }]
    })
  }

  async #server(
    target: TargetName,
    way: AccessWay,
  ): Promise<Pick<AccessTarget, 'server' | 'serverName' | 'ca'>> {
    if (way === 'proxy') {
      const { url, ca } = this.#expectListener()
      return { server: `${url}/clusters/${target}`, serverName: null, ca }
    }
    const { server, serverName, ca } = await this.#doors.of(target)
    return { server, serverName, ca }
  }

  #audience(target: TargetName): string {
    return `${this.#options.owner}/${target}`
  }

  #expectListener(): AccessListener {
    const listener = this.#options.listener()
    if (listener !== null) return listener
    throw new FairwayError('RUNNER_UNAVAILABLE', 'this server does not listen for cluster access', {
      hint: 'Its log says why; FAIRWAY_ACCESS_PORT names the port, and `off` switches it off.',
    })
  }
}

function userOf(subject: Subject, scopes: readonly AccessScope[]): ClusterUser {
  const groups = scopes.map(({ namespace, role }) => accessGroup(namespace, role))
  return { name: clusterUserName(subject), groups: groups.slice(0, MOST_IMPERSONATED) }
}
