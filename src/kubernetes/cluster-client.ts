import { backoffMs } from '../lib/backoff.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { ExecRequest, ExecSession } from '../model/runner.ts'
import { errorOfConnection, errorOfStatus, type RequestTarget } from './cluster-error.ts'
import { openExec } from './exec-session.ts'
import { isRecord, listAt, textAt, type Json } from './json-value.ts'
import { KINDS, pathOf, type Kind } from './kinds.ts'
import type { ClusterConnection } from './kubeconfig.ts'
import { describe, describeName } from './object-description.ts'
import { RateLimit } from './rate-limit.ts'
import { textLines } from './text-lines.ts'
import { Transport, type HttpRequest, type HttpResponse } from './transport.ts'

export interface ClusterClientOptions {
  readonly connection: ClusterConnection
  readonly clock: Clock
  /** 0 to 1, for jitter. */
  readonly random: () => number
  /** Default 'fairway'. */
  readonly userAgent?: string
  /**
   * Requests a second, in the long run; short bursts may be twice that. Default 1000: a cold start is as quick as the API server takes it, which defends itself
   * (429, tried again when it says); this is only against a loop of ours.
   */
  readonly perSecond?: number
}

/** One object: `namespace` null for kinds that have none. */
export interface ObjectName {
  readonly kind: Kind
  readonly namespace: string | null
  readonly name: string
}

export interface ListOptions {
  /** Null = all namespaces. */
  readonly namespace: string | null
  readonly labels?: string
  readonly fields?: string
  /** Only the metadata of the objects is wanted. */
  readonly metadataOnly?: boolean
  readonly limit?: number
}

export interface ObjectList {
  readonly items: readonly Json[]
  readonly resourceVersion: string
}

export interface WatchedChange {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'
  readonly object: Json
}

export interface PodLogOptions {
  readonly container: string
  readonly follow?: boolean
  readonly previous?: boolean
  readonly tailLines?: number
  /** Milliseconds since the epoch. */
  readonly since?: number
}

/** Thrown by `watch` when the server no longer has the version that was asked for: list again. */
export class WatchExpired extends Error {
  override readonly name = 'WatchExpired'
}

export const FIELD_MANAGER = 'fairway'
const APPLY = 'application/apply-patch+yaml'
const MERGE = 'application/merge-patch+json'
const TRIES = 5
const FIRST_WAIT_MS = 100
const LONGEST_WAIT_MS = 5_000
const LONGEST_RETRY_AFTER_MS = 30_000
/** Servers send a bookmark about every minute: silence of this length is a dead connection. */
const WATCH_SILENCE_MS = 150_000
const PAGE = 500

/**
 * The API of one cluster. Every call is limited in rate and time and tried again where that may help; what fails is a FairwayError CLUSTER_UNREACHABLE,
 * CLUSTER_UNAUTHORIZED, CLUSTER_FORBIDDEN, CLUSTER_CONFLICT or CLUSTER_REJECTED. Objects are JSON as the server sent them.
 */
export class ClusterClient {
  readonly #options: ClusterClientOptions
  readonly #transport: Transport
  readonly #limit: RateLimit
  #requests = 0

  constructor(options: ClusterClientOptions) {
    const { connection, clock, userAgent = 'fairway', perSecond = 1_000 } = options
    this.#options = options
    this.#transport = new Transport(connection, userAgent)
    this.#limit = new RateLimit({ perSecond, burst: perSecond * 2, clock })
  }

  /** URL of the API server. */
  get server(): string {
    return this.#transport.server
  }

  /** Requests sent so far, tries included. */
  get requests(): number {
    return this.#requests
  }

  /** Null where the object, or its kind, does not exist. */
  async get({ kind, namespace, name }: ObjectName, signal?: AbortSignal): Promise<Json | null> {
    return this.getPath(pathOf(kind, namespace, name), `get ${describe(kind, namespace, name)}`, {
      signal,
    })
  }

  /** GET of any path of the API; null for 404. */
  async getPath(
    path: string,
    what = `get ${path}`,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Json | null> {
    return this.#json({ method: 'GET', path, signal: options.signal }, what, [404])
  }

  /** All pages. */
  async list(kind: Kind, options: ListOptions, signal?: AbortSignal): Promise<ObjectList> {
    const items: Json[] = []
    const limit = options.limit ?? PAGE
    for (let next = ''; ;) {
      const query = selection(options, { limit: String(limit), ...(next && { continue: next }) })
      const path = `${pathOf(kind, options.namespace)}?${query}`
      const accept = options.metadataOnly === true ? METADATA_LIST : undefined
      const page = await this.#json(
        { method: 'GET', path, signal, ...(accept !== undefined && { accept }) },
        `list ${describe(kind, options.namespace)}`,
      )
      items.push(...listAt(page, 'items').filter(isRecord))
      next = textAt(page, 'metadata', 'continue')
      if (next === '' || options.limit !== undefined)
        return { items, resourceVersion: textAt(page, 'metadata', 'resourceVersion') }
    }
  }

  /** Server-side apply as field manager `fairway`. `force` takes fields over from other managers. */
  async apply(
    name: ObjectName,
    object: Json,
    options: {
      readonly force?: boolean
      readonly dryRun?: boolean
      readonly manager?: string
    } = {},
  ): Promise<Json> {
    const query = new URLSearchParams({
      fieldManager: options.manager ?? FIELD_MANAGER,
      force: String(options.force === true),
      ...(options.dryRun === true && { dryRun: 'All' }),
    })
    const path = `${pathOf(name.kind, name.namespace, name.name)}?${query.toString()}`
    const body = { type: APPLY, text: JSON.stringify(object) }
    return this.#object({ method: 'PATCH', path, body }, `patch ${describeName(name)}`)
  }

  async mergePatch(name: ObjectName, patch: Json): Promise<Json> {
    const path = `${pathOf(name.kind, name.namespace, name.name)}?fieldManager=${FIELD_MANAGER}`
    const body = { type: MERGE, text: JSON.stringify(patch) }
    return this.#object({ method: 'PATCH', path, body }, `patch ${describeName(name)}`)
  }

  /** Creates an object of the name that it carries. */
  async create(kind: Kind, namespace: string | null, object: Json): Promise<Json> {
    const path = `${pathOf(kind, namespace)}?fieldManager=${FIELD_MANAGER}`
    const body = { type: 'application/json', text: JSON.stringify(object) }
    return this.#object({ method: 'POST', path, body }, `create ${describe(kind, namespace)}`)
  }

  /** Sets the number of copies of a Deployment or StatefulSet, whoever owns the field. */
  async scale({ kind, namespace, name }: ObjectName, replicas: number): Promise<void> {
    const path = `${pathOf(kind, namespace, name)}/scale?fieldManager=${FIELD_MANAGER}`
    const body = { type: MERGE, text: JSON.stringify({ spec: { replicas } }) }
    await this.#json({ method: 'PATCH', path, body }, `scale ${describe(kind, namespace, name)}`)
  }

  /** False where it was not there. With `uid` only that very object is deleted. */
  async delete(
    name: ObjectName,
    options: { readonly uid?: string; readonly graceSeconds?: number } = {},
  ): Promise<boolean> {
    const text = JSON.stringify({
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy: 'Background',
      ...(options.uid !== undefined && { preconditions: { uid: options.uid } }),
      ...(options.graceSeconds !== undefined && { gracePeriodSeconds: options.graceSeconds }),
    })
    const path = pathOf(name.kind, name.namespace, name.name)
    const body = { type: 'application/json', text }
    const what = `delete ${describeName(name)}`
    return (await this.#json({ method: 'DELETE', path, body }, what, [404])) !== null
  }

  /**
   * Changes after `resourceVersion`, until the server ends the watch or the signal aborts. Never tried again by itself: the caller goes on from the last version.
   * @throws WatchExpired
   */
  async *watch(
    kind: Kind,
    options: ListOptions & {
      readonly resourceVersion: string
      readonly seconds: number
      /** The server has taken the watch. */
      readonly onOpen?: () => void
    },
    signal: AbortSignal,
  ): AsyncGenerator<WatchedChange> {
    const query = selection(options, {
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: options.resourceVersion,
      timeoutSeconds: String(options.seconds),
    })
    const what = `watch ${describe(kind, options.namespace)}`
    const response = await this.#send(
      {
        method: 'GET',
        path: `${pathOf(kind, options.namespace)}?${query}`,
        signal,
        bodyTimeoutMs: WATCH_SILENCE_MS,
        ...(options.metadataOnly === true && { accept: METADATA }),
      },
      what,
    )
    await this.#expectSuccess(response, what)
    options.onOpen?.()
    try {
      for await (const line of textLines(response.body)) yield changeOf(line, this.#target(what))
    } catch (error) {
      if (error instanceof WatchExpired || error instanceof FairwayError) throw error
      throw errorOfConnection(error, this.#target(what))
    }
  }

  /** Lines of a container's log, each with the time that the node gave it in front (RFC 3339, nanoseconds). */
  async *podLog(
    namespace: string,
    pod: string,
    options: PodLogOptions,
    signal: AbortSignal,
  ): AsyncGenerator<string> {
    const query = new URLSearchParams({
      container: options.container,
      timestamps: 'true',
      ...(options.follow === true && { follow: 'true' }),
      ...(options.previous === true && { previous: 'true' }),
      ...(options.tailLines !== undefined && { tailLines: String(options.tailLines) }),
      ...(options.since !== undefined && { sinceTime: new Date(options.since).toISOString() }),
    })
    const what = `read the log of pod ${pod} in namespace ${namespace}`
    const path = `${pathOf(KINDS.Pod, namespace, pod)}/log?${query.toString()}`
    const response = await this.#send(
      { method: 'GET', path, signal, accept: '*/*', bodyTimeoutMs: 0 },
      what,
    )
    await this.#expectSuccess(response, what)
    for await (const line of textLines(response.body)) {
      // The kubelet's only way to say that a container was cleared away: as its output, without a time.
      if (!line.startsWith('unable to retrieve container logs')) yield line
    }
  }

  /** @throws FairwayError as for every call, and NOT_RUNNING where the container does not run */
  exec(
    namespace: string,
    pod: string,
    container: string,
    request: ExecRequest,
  ): Promise<ExecSession> {
    const target = this.#target(`exec in pod ${pod} in namespace ${namespace}`)
    const path = `${pathOf(KINDS.Pod, namespace, pod)}/exec`
    return openExec({ transport: this.#transport, path, container, request, target })
  }

  async close(): Promise<void> {
    await this.#transport.close()
  }

  // Private

  async #object(request: HttpRequest, what: string): Promise<Json> {
    const found = await this.#json(request, what)
    if (found === null) throw new TypeError(`no answer to ${what}`)
    return found
  }

  /** The parsed answer, or null where its status is one of `absent`. */
  async #json(
    request: HttpRequest,
    what: string,
    absent: readonly number[] = [],
  ): Promise<Json | null> {
    for (let failures = 0; ;) {
      const attempt = await this.#attempt(request, what, absent)
      if (attempt.done) return attempt.value
      failures += 1
      if (failures >= TRIES || request.signal?.aborted === true) throw attempt.error
      const wait = backoffMs(failures, { firstMs: FIRST_WAIT_MS, maxMs: LONGEST_WAIT_MS })
      const jittered = wait * (0.5 + this.#options.random())
      await this.#options.clock.sleep(Math.max(jittered, attempt.waitMs), request.signal)
    }
  }

  async #attempt(request: HttpRequest, what: string, absent: readonly number[]): Promise<Attempt> {
    try {
      const response = await this.#send(request, what)
      const text = await response.body.text()
      if (absent.includes(response.statusCode)) return { done: true, value: null }
      const value: unknown = parseJson(text)
      if (response.statusCode < 300) return { done: true, value: isRecord(value) ? value : {} }
      const error = errorOfStatus(
        response.statusCode,
        value ?? { message: text },
        this.#target(what),
      )
      if (error.code !== 'CLUSTER_UNREACHABLE') throw error
      return { done: false, error, waitMs: retryAfterMs(response) }
    } catch (error) {
      if (request.signal?.aborted === true) throw request.signal.reason
      if (!(error instanceof FairwayError))
        return { done: false, error: errorOfConnection(error, this.#target(what)), waitMs: 0 }
      if (error.code !== 'CLUSTER_UNREACHABLE') throw error
      return { done: false, error, waitMs: 0 }
    }
  }

  async #send(request: HttpRequest, what: string): Promise<HttpResponse> {
    await this.#limit.take(request.signal)
    this.#requests += 1
    try {
      return await this.#transport.send(request)
    } catch (error) {
      if (request.signal?.aborted === true) throw request.signal.reason
      throw errorOfConnection(error, this.#target(what))
    }
  }

  async #expectSuccess(response: HttpResponse, what: string): Promise<void> {
    if (response.statusCode < 300) return
    const text = await response.body.text()
    const status = parseJson(text) ?? { message: text }
    if (response.statusCode === 410) throw new WatchExpired(textAt(status, 'message'))
    throw errorOfStatus(response.statusCode, status, this.#target(what))
  }

  #target(what: string): RequestTarget {
    return { server: this.#transport.server, user: this.#transport.user, what }
  }
}

type Attempt =
  | { readonly done: true; readonly value: Json | null }
  | { readonly done: false; readonly error: FairwayError; readonly waitMs: number }

const METADATA = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1'
const METADATA_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'

function selection(options: ListOptions, more: Readonly<Record<string, string>>): string {
  const query = new URLSearchParams(more)
  if (options.labels !== undefined) query.set('labelSelector', options.labels)
  if (options.fields !== undefined) query.set('fieldSelector', options.fields)
  return query.toString()
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function retryAfterMs({ headers }: HttpResponse): number {
  const seconds = Number(headers['retry-after'])
  return Number.isFinite(seconds) ? Math.min(seconds * 1000, LONGEST_RETRY_AFTER_MS) : 0
}

function changeOf(line: string, target: RequestTarget): WatchedChange {
  const value = parseJson(line)
  const type = textAt(value, 'type')
  const object = isRecord(value) ? value['object'] : undefined
  if (type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED' || type === 'BOOKMARK')
    return { type, object: isRecord(object) ? object : {} }
  const code = isRecord(object) && typeof object['code'] === 'number' ? object['code'] : 500
  if (code === 410) throw new WatchExpired(textAt(object, 'message'))
  throw errorOfStatus(code, object, target)
}
