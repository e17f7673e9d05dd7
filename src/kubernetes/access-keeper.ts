import { KeyedMutex } from '../lib/mutex.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import { accessGroup, CLUSTER_ROLES, type AccessWanted } from '../model/kube-access.ts'
import type { AppRef } from '../model/names.ts'
import { accessName } from './access-names.ts'
import { ACCESS_LABEL, ACCOUNT, planAccount, planBindings } from './access-plan.ts'
import { nameOf } from './apply.ts'
import type { ClusterClient, ObjectName } from './cluster-client.ts'
import { at, listAt, textAt, timeAt, type Json } from './json-value.ts'
import { KINDS, type Kind } from './kinds.ts'
import { LABELS, namespaceOf, ownedBy, PLAN_ANNOTATION } from './labels.ts'
import { contentHash, objectKey, type KubeObject } from './object.ts'

export interface AccessKeeperOptions {
  readonly client: ClusterClient
  readonly owner: string
  readonly clock: Clock
  /** Asks the cluster as the proxy's account: may it act as this user or group? */
  readonly mayActAs: (resource: 'users' | 'groups', name: string) => Promise<boolean>
}

/** How long what was found right is taken to be right still. */
const FRESH_MS = 30_000
/** RBAC reaches every API server of a cluster by a watch of its own. */
const SPREAD_MS = 15_000
/** Whom the proxy may act as, at most: names are dropped oldest first. All begin with `fairway:`. */
const MOST_USERS = 500
const TOKEN_S = 3600
/** The subresource at which tokens of the account are made. */
const TOKENS: Kind = {
  apiVersion: 'v1',
  kind: 'TokenRequest',
  plural: `serviceaccounts/${ACCOUNT}/token`,
  namespaced: true,
}

/** Keeps what people's access needs on one cluster: RoleBindings in the namespaces of apps, and the account of the proxy. */
export class AccessKeeper {
  readonly #options: AccessKeeperOptions
  readonly #mutex = new KeyedMutex()
  #right: { readonly key: string; readonly at: number; readonly users: readonly string[] } | null =
    null
  #token: { readonly text: string; readonly renewAt: number } | null = null

  constructor(options: AccessKeeperOptions) {
    this.#options = options
  }

  /** Level-triggered; cheap while nothing changed. @throws FairwayError CLUSTER_… */
  async prepare(wanted: AccessWanted): Promise<void> {
    if (!this.#isRight(wanted)) await this.#make(wanted)
    // What was right a while ago is looked at again beside the request, which does not wait for it.
    else if (!this.#isFresh()) this.#make(wanted).catch(() => undefined)
  }

  #isRight({ refs, user }: AccessWanted): boolean {
    const right = this.#right
    return right?.key === keyFor(refs, user) && (user === null || right.users.includes(user))
  }

  #isFresh(): boolean {
    return this.#right !== null && this.#options.clock.elapsed() - this.#right.at < FRESH_MS
  }

  async #make({ refs, user }: AccessWanted): Promise<void> {
    await this.#mutex.run('prepare', async () => {
      if (this.#isRight({ refs, user }) && this.#isFresh()) return
      const { clock } = this.#options
      const key = keyFor(refs, user)
      const existing = await this.#existing(refs)
      const users = user === null ? [] : await this.#account(refs, user)
      if (user === null) await this.#removeAccount()
      await this.#bindings(existing)
      this.#right = { key, at: clock.elapsed(), users }
    })
  }

  /** The token was refused: the next one is asked for anew. */
  forgetToken(): void {
    this.#token = null
  }

  /** Of the proxy's account; renewed at half its life. @throws FairwayError CLUSTER_… */
  token(): Promise<string> {
    return this.#mutex.run('token', async () => {
      const { client, owner, clock } = this.#options
      const now = clock.now()
      if (this.#token !== null && now < this.#token.renewAt) return this.#token.text
      const answer = await client.create(TOKENS, accessName(owner), {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { expirationSeconds: TOKEN_S },
      })
      const text = textAt(answer, 'status', 'token')
      const ends = timeAt(answer, 'status', 'expirationTimestamp') ?? now
      this.#token = { text, renewAt: now + (ends - now) / 2 }
      return text
    })
  }

  /** Apps that have no namespace yet, or are on their way out, need no binding. */
  async #existing(refs: readonly AppRef[]): Promise<readonly AppRef[]> {
    const { client, owner } = this.#options
    const { items } = await client.list(KINDS.Namespace, {
      namespace: null,
      labels: ownedBy(owner),
      metadataOnly: true,
    })
    const names = new Set(
      items
        .filter((object) => textAt(object, 'metadata', 'deletionTimestamp') === '')
        .map((object) => textAt(object, 'metadata', 'name')),
    )
    return refs.filter((ref) => names.has(namespaceOf(ref)))
  }

  /** The users that the account may act as from now on. */
  async #account(refs: readonly AppRef[], user: string): Promise<readonly string[]> {
    const { client, owner } = this.#options
    const groups = refs
      .flatMap((ref) =>
        Object.keys(CLUSTER_ROLES).map((role) => accessGroup(namespaceOf(ref), role)),
      )
      .sort()
    const role = { kind: KINDS.ClusterRole, namespace: null, name: accessName(owner) }
    const before = await client.get(role)
    const known = usersIn(before)
    const users = known.includes(user) ? known : [...known, user].slice(-MOST_USERS)
    const planned = planAccount({ users, groups }, owner)
    for (const object of planned) await this.#apply(object, await client.get(nameOf(object)))
    await this.#untilSpread(user, groups.at(-1) ?? null)
    return users
  }

  async #removeAccount(): Promise<void> {
    const { client, owner } = this.#options
    const name = accessName(owner)
    const found = await client.get({ kind: KINDS.ClusterRole, namespace: null, name })
    if (found === null || !this.#isOurs(found)) return
    await client.delete({ kind: KINDS.ClusterRoleBinding, namespace: null, name })
    await client.delete({ kind: KINDS.ClusterRole, namespace: null, name })
    await client.delete({ kind: KINDS.Namespace, namespace: null, name })
    this.#token = null
  }

  async #bindings(refs: readonly AppRef[]): Promise<void> {
    const { client, owner } = this.#options
    const labels = `${LABELS.managedBy}=fairway,${ACCESS_LABEL}=${owner}`
    const { items } = await client.list(KINDS.RoleBinding, { namespace: null, labels })
    const live = new Map(items.map((object) => [keyOf(KINDS.RoleBinding, object), object]))
    for (const object of planBindings(refs, owner)) {
      const found = live.get(objectKey(object)) ?? null
      live.delete(objectKey(object))
      await this.#apply(object, found)
    }
    for (const object of live.values())
      await client.delete(liveName(KINDS.RoleBinding, object), {
        uid: textAt(object, 'metadata', 'uid'),
      })
  }

  /** Writes where plan or object changed. What a binding binds to can never change: it is made anew. */
  async #apply(object: KubeObject, found: Json | null): Promise<void> {
    const { client } = this.#options
    if (found !== null) {
      if (!this.#isOurs(found))
        throw new FairwayError(
          'CLUSTER_CONFLICT',
          `${objectKey(object)} exists and was not made by this server for access; it was not touched`,
          { hint: 'Delete or rename it.' },
        )
      if (isSame(found, object)) return
      if (!isSamePart(found, object, 'roleRef'))
        await client.delete(nameOf(object), { uid: textAt(found, 'metadata', 'uid') })
    }
    await client.apply(nameOf(object), object, { force: true })
  }

  #isOurs(object: Json): boolean {
    return textAt(at(object, 'metadata', 'labels'), ACCESS_LABEL) === this.#options.owner
  }

  async #untilSpread(user: string, group: string | null): Promise<void> {
    const { clock, mayActAs } = this.#options
    const deadline = clock.elapsed() + SPREAD_MS
    for (;;) {
      const spread =
        (await mayActAs('users', user)) && (group === null || (await mayActAs('groups', group)))
      if (spread) return
      if (clock.elapsed() > deadline)
        throw new FairwayError(
          'CLUSTER_FORBIDDEN',
          `the proxy may not act as ${user} though its ClusterRole says so`,
          { hint: 'The cluster may have authorizers beside RBAC that refuse `impersonate`.' },
        )
      await clock.sleep(100)
    }
  }
}

// Private

function keyFor(refs: readonly AppRef[], user: string | null): string {
  return contentHash([refs.map(namespaceOf).sort(), user === null])
}

const COMPARED = ['roleRef', 'subjects', 'rules'] as const

function isSame(live: Json, object: KubeObject): boolean {
  const plan = textAt(at(live, 'metadata', 'annotations'), PLAN_ANNOTATION)
  return (
    plan === object.metadata.annotations[PLAN_ANNOTATION] &&
    COMPARED.every((part) => isSamePart(live, object, part))
  )
}

/** As far as the plan says anything: the API server fills in what is left out. */
function isSamePart(live: Json, object: KubeObject, part: string): boolean {
  const planned = object[part]
  return planned === undefined || contentHash(live[part] ?? []) === contentHash(planned)
}

function usersIn(role: Json | null): readonly string[] {
  const rule = listAt(role, 'rules').find((one) => listAt(one, 'resources').includes('users'))
  return listAt(rule, 'resourceNames').filter(
    (name): name is string => typeof name === 'string' && name.startsWith('fairway:'),
  )
}

function liveName(kind: Kind, object: Json): ObjectName {
  const namespace = textAt(object, 'metadata', 'namespace')
  const name = textAt(object, 'metadata', 'name')
  return { kind, namespace: namespace === '' ? null : namespace, name }
}

/** As `objectKey` of the planned object. */
function keyOf(kind: Kind, object: Json): string {
  const { namespace, name } = liveName(kind, object)
  return `${kind.kind} ${namespace === null ? name : `${namespace}/${name}`}`
}
